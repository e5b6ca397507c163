#include "workers/text/spread.h"

#include <math.h>
#include <stdlib.h>

#define RATIO 1.02 /* from bucket to bucket */

static size_t bucket_of(uint64_t x)
{
    size_t i = (size_t)(log((double)x + 1) / log(RATIO));

    return i < SPREAD_BUCKETS ? i : SPREAD_BUCKETS - 1;
}

void spread_add(struct spread *s, uint64_t x)
{
    s->least = s->n == 0 || x < s->least ? x : s->least;
    s->most = x > s->most ? x : s->most;
    s->sum += x;
    s->n++;
    s->buckets[bucket_of(x)]++;
}

uint64_t spread_at(const struct spread *s, double q)
{
    double before = q * (double)s->n, seen = 0;
    size_t i = 0;

    while (i + 1 < SPREAD_BUCKETS && seen + (double)s->buckets[i] <= before)
        seen += (double)s->buckets[i++];
    uint64_t x = (uint64_t)llround(pow(RATIO, (double)i + 0.5) - 1);
    return x < s->least ? s->least : x > s->most ? s->most : x;
}

int spread_message(Spread **out, const struct spread *s, struct err *e)
{
    Spread m = SPREAD__INIT;
    ProtobufCMessage *copy = NULL;
    int rc;

    *out = NULL;
    if (s->n == 0)
        return OK;
    m.has_n = m.has_least = m.has_median = m.has_p95 = m.has_most = m.has_mean = true;
    m.n = s->n;
    m.least = s->least;
    m.median = spread_at(s, 0.5);
    m.p95 = spread_at(s, 0.95);
    m.most = s->most;
    m.mean = (double)s->sum / (double)s->n;
    rc = message_copy(&copy, &m.base, e);
    *out = (Spread *)copy;
    return rc;
}
