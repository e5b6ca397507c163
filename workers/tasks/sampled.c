#include "workers/tasks/sampled.h"

#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

char *text_of(const struct tokenizer *t, const int32_t *ids, size_t n, struct err *e)
{
    struct buf b = { 0 };

    if (tokenizer_decode(t, &b, ids, n) != OK || (!b.p && !(b.p = calloc(1, 1)))) {
        buf_free(&b);
        err_set(e, E_NOMEM, "no memory for a text");
        return NULL;
    }
    /* a byte that belongs to no character becomes '?', so that records hold UTF-8 */
    b.n = utf8_whole(b.p, b.n);
    b.p[b.n] = '\0';
    for (size_t i = 0, k; i < b.n; i += k) {
        uint32_t code;
        k = utf8_decode(&code, b.p + i, b.n - i);
        if (k == 0 || code == 0) {
            b.p[i] = '?';
            k = 1;
        }
    }
    return b.p;
}

static Answer *answer_of(const struct tokenizer *t, const struct generation *g, struct err *e)
{
    Answer *a = calloc(1, sizeof *a);

    if (!a) {
        err_set(e, E_NOMEM, "no memory for an answer");
        return NULL;
    }
    answer__init(a);
    a->has_ended = true;
    a->ended = g->ended;
    a->text = text_of(t, g->tokens, g->n_tokens, e);
    a->tokens = malloc((g->n_tokens + 1) * sizeof *a->tokens);
    if (!a->text || !a->tokens) {
        message_free(a);
        err_set(e, E_NOMEM, "no memory for an answer");
        return NULL;
    }
    for (size_t i = 0; i < g->n_tokens; i++)
        a->tokens[i] = (uint32_t)g->tokens[i];
    a->n_tokens = g->n_tokens;
    return a;
}

struct telling {
    const struct forward *f;
    size_t total;
};

static int report_done(void *ctx, size_t done)
{
    const struct telling *x = ctx;

    return forward_tell(x->f, done, x->total);
}

int sampled_make(struct sampled *out, struct forward *f, const struct model *m,
    const struct tokenizer *t, const struct prompt_set *set, size_t shard, size_t shards,
    size_t each, const struct generator_options *o, struct err *e)
{
    struct sampled s = { .each = each };

    s.n = set->n > shard ? (set->n - shard + shards - 1) / shards : 0;
    size_t total = s.n * each;
    s.prompt = calloc(s.n + 1, sizeof *s.prompt);
    s.answers = calloc(total + 1, sizeof *s.answers);
    s.g = calloc(total + 1, sizeof *s.g);
    s.tokens = calloc(total + 1, o->max_new * sizeof *s.tokens);
    int rc = s.prompt && s.answers && s.g && s.tokens
                 ? OK
                 : err_set(e, E_NOMEM, "no memory for %zu answers", total);
    for (size_t i = 0; i < s.n && rc == OK; i++) {
        s.prompt[i] = shard + i * shards;
        for (size_t k = 0; k < each; k++)
            s.g[i * each + k] = (struct generation){ .prompt = set->tokens[s.prompt[i]].p,
                .n_prompt = set->tokens[s.prompt[i]].n,
                .item = s.prompt[i] * each + k,
                .tokens = s.tokens + (i * each + k) * o->max_new };
    }
    struct telling telling = { f, total };
    if (rc == OK) /* each token once more in an answer's message */
        rc = forward_answers(
            f, s.g, total, o, total * (sizeof *s.g + 2 * o->max_new * sizeof *s.tokens), e);
    if (rc == OK)
        rc = generate(f->c->engine, m, s.g, total, o, report_done, &telling, e);
    for (size_t i = 0; i < total && rc == OK; i++)
        if (!(s.answers[i] = answer_of(t, &s.g[i], e)))
            rc = E_NOMEM;
    if (rc != OK) {
        sampled_free(&s);
        return rc;
    }
    *out = s;
    return OK;
}

void sampled_free(struct sampled *s)
{
    for (size_t i = 0; s->answers && i < s->n * s->each; i++)
        message_free(s->answers[i]);
    free(s->answers);
    free(s->prompt);
    free(s->g);
    free(s->tokens);
    *s = (struct sampled){ 0 };
}
