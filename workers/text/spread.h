#ifndef WORKERS_TEXT_SPREAD_H
#define WORKERS_TEXT_SPREAD_H

#include "proto/message.h"

/* How numbers lie, in a fixed amount of memory: exact ends and mean, quantiles to 2 %. */
#define SPREAD_BUCKETS 1024

struct spread {
    uint64_t n, least, most, sum;
    uint64_t buckets[SPREAD_BUCKETS];
};

void spread_add(struct spread *s, uint64_t x);
/* The number below which the share q of all is, to 2 %. n > 0. */
uint64_t spread_at(const struct spread *s, double q);
/* *out: NULL when nothing was added; freed by message_free. */
int spread_message(Spread **out, const struct spread *s, struct err *e);

#endif
