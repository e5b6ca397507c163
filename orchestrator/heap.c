#include "orchestrator/heap.h"

#include <assert.h>
#include <stdlib.h>

int heap_reserve(struct heap *h, size_t n, struct err *e)
{
    size_t cap = h->cap ? h->cap : 16;
    struct ranked **p;

    if (n <= h->cap)
        return OK;
    while (cap < n)
        cap *= 2;
    p = realloc(h->items, cap * sizeof *p);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    h->items = p;
    h->cap = cap;
    return OK;
}

void heap_free(struct heap *h)
{
    free(h->items);
    h->items = NULL;
    h->n = h->cap = 0;
}

struct ranked *heap_first(const struct heap *h)
{
    return h->n > 0 ? h->items[0] : NULL;
}

struct ranked *heap_second(const struct heap *h)
{
    if (h->n < 2)
        return NULL;
    return h->n > 2 && h->before(h->items[2], h->items[1]) ? h->items[2] : h->items[1];
}

static void set(struct heap *h, size_t i, struct ranked *r)
{
    h->items[i] = r;
    r->at = i + 1;
}

static void rise(struct heap *h, size_t i)
{
    struct ranked *r = h->items[i];

    for (; i > 0 && h->before(r, h->items[(i - 1) / 2]); i = (i - 1) / 2)
        set(h, i, h->items[(i - 1) / 2]);
    set(h, i, r);
}

static void sink(struct heap *h, size_t i)
{
    struct ranked *r = h->items[i];

    for (size_t k = 2 * i + 1; k < h->n; k = 2 * i + 1) {
        if (k + 1 < h->n && h->before(h->items[k + 1], h->items[k]))
            k++;
        if (!h->before(h->items[k], r))
            break;
        set(h, i, h->items[k]);
        i = k;
    }
    set(h, i, r);
}

void heap_put(struct heap *h, struct ranked *r)
{
    assert(r->at == 0 && h->n < h->cap);
    set(h, h->n++, r);
    rise(h, h->n - 1);
}

void heap_moved(struct heap *h, struct ranked *r)
{
    assert(r->at > 0 && h->items[r->at - 1] == r);
    rise(h, r->at - 1);
    sink(h, r->at - 1);
}

void heap_take(struct heap *h, struct ranked *r)
{
    struct ranked *last = h->items[h->n - 1];
    size_t i = r->at - 1;

    assert(r->at > 0 && h->items[i] == r);
    h->n--;
    r->at = 0;
    if (last == r)
        return;
    set(h, i, last);
    heap_moved(h, last);
}
