#include "pipelines/draft.h"

#include <stdio.h>
#include <stdlib.h>

#define SHOWN_BYTES 400

/* Kahn's algorithm, always taking the first job in the file that waits for nothing. */
struct sort {
    struct drafts *d;
    uint32_t *order;
    bool *placed; /* or, of a cycle, given up */
    uint32_t n;
};

/* The first reference to a job that is not placed; NULL: it waits for none. */
static const struct reference *waits_for(const struct sort *s, uint32_t job)
{
    const struct draft *one = &s->d->items[job];

    for (size_t i = 0; i < one->n_refs; i++)
        if (one->refs[i].used && one->refs[i].is_job && !s->placed[one->refs[i].source])
            return &one->refs[i];
    return NULL;
}

static void place_ready(struct sort *s)
{
    for (uint32_t i = 0; i < s->d->n; i++) {
        if (s->placed[i] || waits_for(s, i))
            continue;
        s->placed[i] = true;
        s->order[s->n++] = i;
        i = UINT32_MAX; /* from the start: an earlier one may wait no more */
    }
}

/* Walks from any job that waits, as often as there are jobs: it ends in a cycle. */
static uint32_t find_cycle(const struct sort *s)
{
    uint32_t job = 0;

    while (s->placed[job])
        job++;
    for (uint32_t i = 0; i < s->d->n; i++)
        job = waits_for(s, job)->source;
    return job;
}

static void tell_cycle(const struct sort *s, uint32_t job)
{
    char shown[SHOWN_BYTES];
    uint32_t first = job, next = job;
    size_t used;

    do { /* as it stands in the file */
        first = next < first ? next : first;
        next = waits_for(s, next)->source;
    } while (next != job);
    used = (size_t)snprintf(shown, sizeof shown, "%s", s->d->items[first].name);
    next = first;
    do {
        next = waits_for(s, next)->source;
        if (used < sizeof shown)
            used += (size_t)snprintf(
                shown + used, sizeof shown - used, " -> %s", s->d->items[next].name);
    } while (next != first);
    mistake_add(
        s->d->mistakes, &waits_for(s, first)->at, NULL, "stages wait for each other: %s", shown);
}

/* What waits behind a cycle may have a cycle of its own: go on as if this one were placed. */
static void give_up(struct sort *s, uint32_t job)
{
    uint32_t from = s->n, next = job;

    do {
        s->order[s->n++] = next;
        next = waits_for(s, next)->source;
    } while (next != job);
    for (uint32_t i = from; i < s->n; i++)
        s->placed[s->order[i]] = true;
}

int drafts_order(struct drafts *d, uint32_t *order, struct err *e)
{
    struct sort s = { .d = d, .order = order };

    s.placed = calloc(d->n ? d->n : 1, sizeof *s.placed);
    if (!s.placed)
        return err_set(e, E_NOMEM, "out of memory");
    place_ready(&s);
    while (s.n < d->n) {
        uint32_t job = find_cycle(&s);
        tell_cycle(&s, job);
        give_up(&s, job);
        place_ready(&s);
    }
    free(s.placed);
    return OK;
}
