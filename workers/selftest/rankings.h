#ifndef WORKERS_SELFTEST_RANKINGS_H
#define WORKERS_SELFTEST_RANKINGS_H

#include "workers/selftest/testbed.h"

/* Rankings in the making, as a reward model or DPO is trained on them. */
enum { ORDER_MAX = 64, ORDER_TOKENS = 8 };
struct order {
    RankingExample x;
    Example rows[ORDER_MAX], *row_pointers[ORDER_MAX];
    Tier tiers[ORDER_MAX], *tier_pointers[ORDER_MAX];
    uint32_t answers[ORDER_MAX], tokens[ORDER_MAX][ORDER_TOKENS];
    uint8_t mask[ORDER_MAX][ORDER_TOKENS];
};

/* A new tier, worse than those before. */
void order_tier(struct order *r);
/* A row of the newest tier: `prompt` of its n tokens come before the answer. Copies. */
void order_row(struct order *r, const uint32_t *tokens, size_t n, size_t prompt);

/* An artifact of n rankings, each of them filled by `fill`. */
int rankings_write(struct id *out, struct testbed *t, size_t n,
    void (*fill)(struct order *r, size_t i, const void *ctx), const void *ctx, struct err *e);

#endif
