#ifndef WORKERS_TEXT_HASH_SET_H
#define WORKERS_TEXT_HASH_SET_H

#include "proto/bytes.h"

/* A set of 64-bit hashes. Up to 32 MiB it lies in memory; a larger one in a file without a name
 * ($TMPDIR, else /var/tmp) that is mapped: the kernel can write it out, so that memory does not
 * grow with the set. Zero-initialise. */
struct hash_set {
    uint64_t *at; /* 0: empty */
    size_t n, cap;
    bool mapped;
};
void hash_set_free(struct hash_set *s);
/* *was: it was there before. */
int hash_set_add(bool *was, struct hash_set *s, uint64_t key, struct err *e);

#endif
