#include "workers/text/bpe.h"

#include <stdlib.h>

/* INVARIANTS
 * (1) A symbol lives at the place of its first byte; the living ones are a doubly linked list.
 * (2) For every living neighbouring pair with a rank, (rank, place of its left symbol) is in the
 *     queue; what is in the queue may be outdated, and is then passed over. */
struct symbol {
    uint32_t id;
    uint32_t prev, next; /* NOWHERE at the ends */
};

#define NOWHERE UINT32_MAX
#define DEAD UINT32_MAX /* as an id */

int ids_push(struct ids *ids, int32_t id)
{
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? 2 * ids->cap : 256;
        int32_t *p = realloc(ids->p, cap * sizeof *p);
        if (!p)
            return E_NOMEM;
        ids->p = p;
        ids->cap = cap;
    }
    ids->p[ids->n++] = id;
    return OK;
}

void ids_free(struct ids *ids)
{
    free(ids->p);
    *ids = (struct ids){ 0 };
}

void merges_free(struct merges *m)
{
    free(m->at);
    pair_map_free(&m->places);
    *m = (struct merges){ 0 };
}

void merger_free(struct merger *g)
{
    free(g->symbols);
    free(g->queue);
    *g = (struct merger){ 0 };
}

/* n symbols give at most n - 1 pairs at first, and two more with each of n - 1 merges. */
static int merger_reserve(struct merger *g, size_t n)
{
    size_t cap = n < 256 ? 256 : n + n / 2;

    if (n <= g->cap)
        return OK;
    merger_free(g);
    g->symbols = malloc(cap * sizeof *g->symbols);
    g->queue = malloc(3 * cap * sizeof *g->queue);
    g->cap = g->symbols && g->queue ? cap : 0;
    return g->cap ? OK : E_NOMEM;
}

/* Least first: by rank, then by place. */
static void queue_push(struct merger *g, uint64_t key)
{
    size_t i = g->n_queue++;

    while (i > 0 && g->queue[(i - 1) / 2] > key) {
        g->queue[i] = g->queue[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    g->queue[i] = key;
}

static uint64_t queue_pop(struct merger *g)
{
    uint64_t top = g->queue[0], last = g->queue[--g->n_queue];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < g->n_queue) {
        if (child + 1 < g->n_queue && g->queue[child + 1] < g->queue[child])
            child++;
        if (g->queue[child] >= last)
            break;
        g->queue[i] = g->queue[child];
        i = child;
    }
    g->queue[i] = last;
    return top;
}

static uint32_t rank_of(const struct merges *m, uint32_t place)
{
    return m->ranks ? m->ranks[place] : place;
}

static void enqueue_pair(struct merger *g, const struct merges *m, uint32_t at)
{
    const struct symbol *s = &g->symbols[at];
    uint32_t place;

    if (s->next == NOWHERE)
        return;
    place = pair_map_find(&m->places, s->id, g->symbols[s->next].id);
    if (place != PAIR_NONE)
        queue_push(g, (uint64_t)rank_of(m, place) << 32 | at);
}

/* The merge that the queue's entry is about, if its pair is still there; else NULL. */
static const struct merge *merge_of(const struct merger *g, const struct merges *m, uint64_t key)
{
    const struct symbol *s = &g->symbols[(uint32_t)key];
    uint32_t rank = (uint32_t)(key >> 32), right, place = rank;

    if (s->id == DEAD || s->next == NOWHERE)
        return NULL;
    right = g->symbols[s->next].id;
    if (m->ranks) { /* several merges may share one */
        place = pair_map_find(&m->places, s->id, right);
        return place != PAIR_NONE && m->ranks[place] == rank ? &m->at[place] : NULL;
    }
    return m->at[place].left == s->id && m->at[place].right == right ? &m->at[place] : NULL;
}

static void merge_one(struct merger *g, const struct merges *m, uint64_t key)
{
    const struct merge *row = merge_of(g, m, key);
    uint32_t at = (uint32_t)key, gone;
    struct symbol *s = &g->symbols[at];

    if (!row)
        return;
    gone = s->next;
    s->id = row->product;
    s->next = g->symbols[gone].next;
    g->symbols[gone].id = DEAD;
    if (s->next != NOWHERE)
        g->symbols[s->next].prev = at;
    if (s->prev != NOWHERE)
        enqueue_pair(g, m, s->prev);
    enqueue_pair(g, m, at);
}

int merger_begin(struct merger *g, size_t most)
{
    g->n = g->n_queue = 0;
    return most >= NOWHERE || merger_reserve(g, most) != OK ? E_NOMEM : OK;
}

void merger_add(struct merger *g, uint32_t id)
{
    uint32_t at = (uint32_t)g->n++;

    g->symbols[at] = (struct symbol){ id, at ? at - 1 : NOWHERE, NOWHERE };
    if (at)
        g->symbols[at - 1].next = at;
}

int merger_finish(struct merger *g, struct ids *out, const struct merges *m)
{
    for (uint32_t i = 0; i + 1 < g->n; i++)
        enqueue_pair(g, m, i);
    while (g->n_queue > 0)
        merge_one(g, m, queue_pop(g));
    for (uint32_t i = 0; g->n > 0 && i != NOWHERE; i = g->symbols[i].next) {
        if (ids_push(out, (int32_t)g->symbols[i].id) != OK)
            return E_NOMEM;
    }
    return OK;
}
