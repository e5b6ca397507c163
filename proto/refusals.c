#include "proto/refusals.h"

#include <inttypes.h>
#include <stdio.h>

#define WINDOW_MS 1000
#define WINDOW_MOST_MS 60000

static const char *const texts[] = {
    [REFUSED_KEY] = "not on the list (`jielong keys allow`)",
    [REFUSED_WITHOUT_KEY] = "of it and this port, one has a key and the other has none",
    [REFUSED_OTHER_KEY] = "it has another orchestrator's key",
    [REFUSED_PROTOCOL] = "it does not speak ZMTP as it should",
    [REFUSED_FRAME] = "no message came of it: a frame above the limit, or silence",
    [REFUSED_SILENT] = "it left before it had said who it is, or was silent for too long",
};
_Static_assert(sizeof texts / sizeof *texts == REFUSALS, "one row for each cause");

void refusals_add(struct refusals *r, enum refusal why, const char *who, int64_t now_ms)
{
    struct refused *f = &r->of[why];

    if (f->n++ == 0) {
        bool quiet = f->window == 0 || now_ms - f->told > f->window;
        int64_t longer = 2 * f->window < WINDOW_MOST_MS ? 2 * f->window : WINDOW_MOST_MS;
        f->window = quiet ? WINDOW_MS : longer;
        f->since = now_ms;
        f->due = now_ms + f->window;
    }
    snprintf(f->last, sizeof f->last, "%s", who);
}

bool refusals_line(struct refusals *r, int64_t now_ms, char line[REFUSAL_LINE])
{
    for (int i = 0; i < REFUSALS; i++) {
        struct refused *f = &r->of[i];
        if (f->n == 0 || now_ms < f->due)
            continue;
        if (f->n == 1)
            snprintf(line, REFUSAL_LINE, "refused %s: %s", f->last, texts[i]);
        else
            snprintf(line, REFUSAL_LINE, "refused %" PRIu64 " in %.0f s, the last %s: %s", f->n,
                (double)f->window / 1000, f->last, texts[i]);
        f->n = 0;
        f->told = f->due;
        return true;
    }
    return false;
}

int64_t refusals_wait_ms(const struct refusals *r, int64_t now_ms)
{
    int64_t wait = -1;

    for (int i = 0; i < REFUSALS; i++) {
        const struct refused *f = &r->of[i];
        int64_t left = f->due > now_ms ? f->due - now_ms : 0;
        if (f->n > 0 && (wait < 0 || left < wait))
            wait = left;
    }
    return wait;
}
