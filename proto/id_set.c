#include "proto/id_set.h"

#include <stdlib.h>
#include <string.h>

int id_set_add(struct id_set *s, const struct id *id, struct err *e)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 16;
        struct id *more = realloc(s->ids, cap * sizeof *more);
        if (!more)
            return err_set(e, E_NOMEM, "out of memory");
        s->ids = more;
        s->cap = cap;
    }
    s->ids[s->n++] = *id;
    return OK;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct id));
}

void id_set_sort(struct id_set *s)
{
    size_t kept = 0;

    if (s->n > 0)
        qsort(s->ids, s->n, sizeof *s->ids, by_bytes);
    for (size_t i = 0; i < s->n; i++)
        if (kept == 0 || !id_equal(&s->ids[i], &s->ids[kept - 1]))
            s->ids[kept++] = s->ids[i];
    s->n = kept;
}

ptrdiff_t id_set_find(const struct id_set *s, const struct id *id)
{
    const struct id *found = s->n ? bsearch(id, s->ids, s->n, sizeof *id, by_bytes) : NULL;

    return found ? found - s->ids : -1;
}

void id_set_free(struct id_set *s)
{
    free(s->ids);
    *s = (struct id_set){ 0 };
}
