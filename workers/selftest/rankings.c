#include "workers/selftest/rankings.h"

#include <assert.h>
#include <string.h>

#include "store/records.h"

static void order_start(struct order *r)
{
    ranking_example__init(&r->x);
    r->x.rows = r->row_pointers;
    r->x.tiers = r->tier_pointers;
}

void order_tier(struct order *r)
{
    size_t n = r->x.n_tiers++;

    assert(n < ORDER_MAX);
    tier__init(&r->tiers[n]);
    r->tiers[n].answers = r->answers + r->x.n_rows;
    r->tier_pointers[n] = &r->tiers[n];
}

void order_row(struct order *r, const uint32_t *tokens, size_t n, size_t prompt)
{
    size_t i = r->x.n_rows++;
    Example *one = &r->rows[i];

    assert(i < ORDER_MAX && n <= ORDER_TOKENS && r->x.n_tiers > 0);
    memcpy(r->tokens[i], tokens, n * sizeof *tokens);
    for (size_t k = 0; k < n; k++)
        r->mask[i][k] = k >= prompt;
    example__init(one);
    one->tokens = r->tokens[i];
    one->n_tokens = n;
    one->has_loss = one->has_prompt = true;
    one->loss = (ProtobufCBinaryData){ n, r->mask[i] };
    one->prompt = (uint32_t)prompt;
    r->row_pointers[i] = one;
    r->answers[i] = (uint32_t)i;
    r->tier_pointers[r->x.n_tiers - 1]->n_answers++;
}

int rankings_write(struct id *out, struct testbed *t, size_t n,
    void (*fill)(struct order *r, size_t i, const void *ctx), const void *ctx, struct err *e)
{
    static struct order r;
    struct records_writer *w = NULL;
    Output *o = NULL;
    int rc = records_create(&w, t->store, ARTIFACT_KIND__RANKING_EXAMPLES, e);

    for (size_t i = 0; i < n && rc == OK; i++) {
        order_start(&r);
        fill(&r, i, ctx);
        rc = records_add(w, &r.x.base, e);
    }
    if (rc == OK) {
        rc = records_commit(w, "examples", &o, e);
        w = NULL;
    }
    if (rc == OK)
        id_from_span(out, o->id.data, o->id.len);
    records_abort(w);
    message_free(o);
    return rc;
}
