#ifndef PROTO_ID_SET_H
#define PROTO_ID_SET_H

#include "proto/bytes.h"

/* A set of ids: gathered, then sorted once, then asked. Zero-initialise; id_set_free when done. */
struct id_set {
    struct id *ids;
    size_t n, cap;
};

int id_set_add(struct id_set *s, const struct id *id, struct err *e); /* E_NOMEM */
void id_set_sort(struct id_set *s);                                   /* drops doubles */
/* Of a sorted set: which one it is; -1: not in it. */
ptrdiff_t id_set_find(const struct id_set *s, const struct id *id);
void id_set_free(struct id_set *s);

#endif
