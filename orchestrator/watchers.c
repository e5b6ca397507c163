#include <stdlib.h>
#include <string.h>

#include "orchestrator/reply.h"

#define WATCHERS_MAX 4096

bool watch_run(struct orchestrator *o, const struct peer *to, uint64_t request, const char *run,
    int64_t until_ms)
{
    struct watcher *p, w = { *to, request, NULL, until_ms };

    if (o->n_watchers == WATCHERS_MAX || !(w.run = strdup(run)))
        return false;
    p = realloc(o->watchers, (o->n_watchers + 1) * sizeof *p);
    if (!p) {
        free(w.run);
        return false;
    }
    o->watchers = p;
    p[o->n_watchers++] = w;
    return true;
}

static int answer(struct orchestrator *o, size_t i, struct err *e)
{
    struct watcher w = o->watchers[i];

    o->watchers[i] = o->watchers[--o->n_watchers];
    int rc = reply_status(o, &w.to, w.request, w.run, e);
    free(w.run);
    return rc;
}

int watchers_tell(struct orchestrator *o, const char *run, struct err *e)
{
    int rc = OK;

    for (size_t i = o->n_watchers; i-- > 0 && rc == OK;)
        if (strcmp(o->watchers[i].run, run) == 0)
            rc = answer(o, i, e);
    return rc;
}

int watchers_tick(struct orchestrator *o, struct err *e)
{
    int rc = OK;

    for (size_t i = o->n_watchers; i-- > 0 && rc == OK;)
        if (o->watchers[i].until_ms <= o->now.ms)
            rc = answer(o, i, e);
    return rc;
}

void watchers_free(struct orchestrator *o)
{
    while (o->n_watchers > 0)
        free(o->watchers[--o->n_watchers].run);
    free(o->watchers);
}
