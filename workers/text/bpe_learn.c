#include "workers/text/bpe_learn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* All pieces lie one after the other in `places`, a separator before and behind each. A symbol is
 * the run of bytes of one token; its id stands at its first and at its last byte, so that both
 * neighbours are found from the tokens' lengths.
 *
 * INVARIANTS
 * (1) The place of a symbol that has a right neighbour is on the list of their pair (unless
 *     their product were too long), and on no other; all other places are on no list.
 * (2) A pair's count is the sum of the weights of the places on its list.
 * (3) A pair with a count of at least 2 is in the queue with a count that is not too small.
 *
 * So the work of a merge is in proportion to how often the pair occurs, however long the pieces
 * are: Chinese text has pieces of whole clauses. */
struct place {
    uint32_t id; /* SEPARATOR: no symbol */
    uint32_t piece;
    uint32_t pair;       /* whose list this is on; NONE */
    uint32_t prev, next; /* on that list; NONE */
};

struct pair {
    uint32_t left, right;
    uint32_t first, last; /* list of places, in the order they came */
    uint64_t count;
    uint64_t queued; /* count that its valid entry in the queue has; 0: none */
    bool touched;    /* is in learner.touched */
};

struct entry {
    uint64_t count;
    uint32_t pair;
};

struct learner {
    struct learned *out;
    const uint64_t *weights; /* of pieces */
    struct place *places;
    size_t n_places;
    struct pair *pairs;
    size_t n_pairs, cap_pairs;
    struct pair_map index; /* (left, right) → place in pairs */
    struct entry *queue;   /* heap, most frequent first */
    size_t n_queue, cap_queue;
    uint32_t *touched; /* pairs that grew since they were queued */
    size_t n_touched, cap_touched;
};

#define NONE UINT32_MAX
#define SEPARATOR UINT32_MAX

/* Bytes of the longest token. Beyond, a token is a memory of one text; GPT-2's longest has 128. */
#define LONGEST_TOKEN 128

/* Makes room for one more element. */
static int grow(void *array, size_t n, size_t *cap, size_t size)
{
    void **p = array, *q;
    size_t more = *cap ? 2 * *cap : 1024;

    if (n < *cap)
        return OK;
    q = realloc(*p, more * size);
    if (!q)
        return E_NOMEM;
    *p = q;
    *cap = more;
    return OK;
}

static size_t token_length(const struct learner *l, uint32_t id)
{
    return id == SEPARATOR ? 1 : interner_at(&l->out->tokens, id).n;
}

/* ---- the queue ---- */

static int compare_bytes(const struct learner *l, uint32_t a, uint32_t b)
{
    struct span x = interner_at(&l->out->tokens, a), y = interner_at(&l->out->tokens, b);
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);

    return order ? order : (x.n > y.n) - (x.n < y.n);
}

/* Tokens are distinct byte strings: two pairs are never equal. */
static bool goes_first(const struct learner *l, struct entry a, struct entry b)
{
    const struct pair *p = &l->pairs[a.pair], *q = &l->pairs[b.pair];
    int order;

    if (a.count != b.count)
        return a.count > b.count;
    order = p->left == q->left ? 0 : compare_bytes(l, p->left, q->left);
    if (order == 0)
        order = p->right == q->right ? 0 : compare_bytes(l, p->right, q->right);
    return order < 0;
}

static int queue_push(struct learner *l, uint32_t pair)
{
    struct entry entry = { l->pairs[pair].count, pair };
    size_t i = l->n_queue;

    if (grow(&l->queue, l->n_queue, &l->cap_queue, sizeof *l->queue) != OK)
        return E_NOMEM;
    l->n_queue++;
    while (i > 0 && goes_first(l, entry, l->queue[(i - 1) / 2])) {
        l->queue[i] = l->queue[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    l->queue[i] = entry;
    l->pairs[pair].queued = entry.count;
    return OK;
}

static struct entry queue_pop(struct learner *l)
{
    struct entry top = l->queue[0], last = l->queue[--l->n_queue];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < l->n_queue) {
        if (child + 1 < l->n_queue && goes_first(l, l->queue[child + 1], l->queue[child]))
            child++;
        if (!goes_first(l, l->queue[child], last))
            break;
        l->queue[i] = l->queue[child];
        i = child;
    }
    l->queue[i] = last;
    return top;
}

static int queue_touched(struct learner *l)
{
    for (size_t i = 0; i < l->n_touched; i++) {
        struct pair *pair = &l->pairs[l->touched[i]];
        pair->touched = false;
        if (pair->count >= 2 && queue_push(l, l->touched[i]) != OK)
            return E_NOMEM;
    }
    l->n_touched = 0;
    return OK;
}

/* The most frequent pair, or NONE when none is there twice. Counts that have shrunk since they
 * were queued are put right here. */
static int next_pair(struct learner *l, uint32_t *out)
{
    *out = NONE;
    while (*out == NONE && l->n_queue > 0) {
        struct entry top = queue_pop(l);
        struct pair *pair = &l->pairs[top.pair];
        if (top.count != pair->queued)
            continue;
        pair->queued = 0;
        if (pair->count == top.count)
            *out = top.pair;
        else if (pair->count >= 2 && queue_push(l, top.pair) != OK)
            return E_NOMEM;
    }
    return OK;
}

/* ---- lists of places ---- */

static int find_pair(struct learner *l, uint32_t left, uint32_t right, uint32_t *out)
{
    *out = pair_map_find(&l->index, left, right);
    if (*out != PAIR_NONE)
        return OK;
    if (l->n_pairs >= NONE - 1 || grow(&l->pairs, l->n_pairs, &l->cap_pairs, sizeof *l->pairs) ||
        pair_map_add(&l->index, left, right, (uint32_t)l->n_pairs) != OK)
        return E_NOMEM;
    *out = (uint32_t)l->n_pairs++;
    l->pairs[*out] = (struct pair){ .left = left, .right = right, .first = NONE, .last = NONE };
    return OK;
}

/* Puts the place of a symbol at the end of the list of the pair that begins there. */
static int link_place(struct learner *l, uint32_t at)
{
    struct place *here = &l->places[at];
    size_t length = token_length(l, here->id);
    uint32_t right = l->places[at + length].id, number;
    struct pair *pair;

    if (right == SEPARATOR || length + token_length(l, right) > LONGEST_TOKEN)
        return OK;
    if (find_pair(l, here->id, right, &number) != OK)
        return E_NOMEM;
    pair = &l->pairs[number];
    *here = (struct place){ here->id, here->piece, number, pair->last, NONE };
    if (pair->last == NONE)
        pair->first = at;
    else
        l->places[pair->last].next = at;
    pair->last = at;
    pair->count += l->weights[here->piece];
    if (!pair->touched) {
        if (grow(&l->touched, l->n_touched, &l->cap_touched, sizeof *l->touched) != OK)
            return E_NOMEM;
        l->touched[l->n_touched++] = number;
        pair->touched = true;
    }
    return OK;
}

static void unlink_place(struct learner *l, uint32_t at)
{
    struct place *here = &l->places[at];
    struct pair *pair;

    if (here->pair == NONE)
        return;
    pair = &l->pairs[here->pair];
    if (here->prev == NONE)
        pair->first = here->next;
    else
        l->places[here->prev].next = here->next;
    if (here->next == NONE)
        pair->last = here->prev;
    else
        l->places[here->next].prev = here->prev;
    pair->count -= l->weights[here->piece];
    here->pair = NONE;
}

static int merge_at(struct learner *l, uint32_t at, const struct merge *m)
{
    struct place *here = &l->places[at];
    uint32_t middle = at + (uint32_t)token_length(l, m->left);
    uint32_t end = middle + (uint32_t)token_length(l, m->right);
    uint32_t before = at - (uint32_t)token_length(l, here[-1].id);
    bool first = here[-1].id == SEPARATOR;

    unlink_place(l, at);
    unlink_place(l, middle);
    if (!first)
        unlink_place(l, before);
    here->id = l->places[end - 1].id = m->product;
    if (!first && link_place(l, before) != OK)
        return E_NOMEM;
    return link_place(l, at);
}

/* A product is longer than its parts, so no place comes to the list that is being emptied. */
static int merge_pair(struct learner *l, uint32_t number, const struct merge *m)
{
    while (l->pairs[number].first != NONE) {
        if (merge_at(l, l->pairs[number].first, m) != OK)
            return E_NOMEM;
    }
    assert(l->pairs[number].count == 0);
    return queue_touched(l);
}

/* ---- learning ---- */

static int place_pieces(struct learner *l, const struct interner *pieces, struct err *e)
{
    size_t n = pieces->n_bytes + pieces->n + 1, at = 1;

    if (n >= NONE)
        return err_set(e, E_INPUT, "more than 4 GB of different text: train on a part of it");
    l->places = malloc(n * sizeof *l->places);
    if (!l->places)
        return E_NOMEM;
    l->n_places = n;
    l->places[0] = (struct place){ SEPARATOR, NONE, NONE, NONE, NONE };
    for (uint32_t i = 0; i < pieces->n; i++) {
        struct span piece = interner_at(pieces, i);
        const uint8_t *bytes = piece.p;
        for (size_t k = 0; k < piece.n; k++)
            l->places[at++] = (struct place){ bytes[k], i, NONE, NONE, NONE };
        l->places[at++] = l->places[0];
    }
    assert(at == n);
    return OK;
}

static int link_all(struct learner *l)
{
    for (size_t at = 0; at < l->n_places; at++) {
        if (l->places[at].id != SEPARATOR && link_place(l, (uint32_t)at) != OK)
            return E_NOMEM;
    }
    return queue_touched(l);
}

static int add_merge(struct learner *l, uint32_t number)
{
    struct learned *out = l->out;
    const struct pair *pair = &l->pairs[number];
    struct span left = interner_at(&out->tokens, pair->left);
    struct span right = interner_at(&out->tokens, pair->right);
    struct merge *merge;
    char bytes[LONGEST_TOKEN];

    memcpy(bytes, left.p, left.n);
    memcpy(bytes + left.n, right.p, right.n);
    if (grow(&out->merges, out->n_merges, &out->cap_merges, sizeof *out->merges) != OK)
        return E_NOMEM;
    merge = &out->merges[out->n_merges++];
    *merge = (struct merge){ pair->left, pair->right, 0 };
    if (interner_add(&out->tokens, bytes, left.n + right.n, &merge->product) != OK)
        return E_NOMEM;
    return merge_pair(l, number, merge);
}

static int learn(struct learner *l, uint32_t n_tokens)
{
    uint32_t number = 0;
    int rc = link_all(l);

    while (rc == OK && l->out->tokens.n < n_tokens) {
        rc = next_pair(l, &number);
        if (rc != OK || number == NONE)
            break;
        rc = add_merge(l, number);
    }
    return rc;
}

int learn_merges(struct learned *out, struct interner *pieces, const uint64_t *counts,
    uint32_t n_tokens, struct err *e)
{
    struct learner l = { .out = out, .weights = counts };
    uint32_t number;
    int rc = place_pieces(&l, pieces, e);

    interner_free(pieces);
    for (unsigned b = 0; rc == OK && b < 256; b++)
        rc = interner_add(&out->tokens, &(uint8_t){ (uint8_t)b }, 1, &number);
    if (rc == OK)
        rc = learn(&l, n_tokens);
    if (rc == E_NOMEM)
        err_set(e, E_NOMEM, "out of memory");
    free(l.places);
    free(l.pairs);
    pair_map_free(&l.index);
    free(l.queue);
    free(l.touched);
    return rc;
}

void learned_free(struct learned *l)
{
    interner_free(&l->tokens);
    free(l->merges);
    *l = (struct learned){ 0 };
}
