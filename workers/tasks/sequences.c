#include "workers/tasks/sequences.h"

#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/tasks/run.h"
#include "workers/tasks/warm.h"
#include "workers/text/documents.h"
#include "workers/text/template.h"

bool held_out(const void *p, size_t n, double share)
{
    struct id hash;
    uint64_t x = 0;

    sha256(&hash, p, n);
    for (int i = 0; i < 8; i++)
        x = x << 8 | hash.b[i];
    return (double)(x >> 11) * 0x1p-53 < share;
}

static int add_token(struct ids *out, int32_t token, struct err *e)
{
    if (out->n == out->cap) {
        size_t cap = out->cap ? 2 * out->cap : 64;
        int32_t *p = realloc(out->p, cap * sizeof *p);
        if (!p)
            return err_set(e, E_NOMEM, "no memory for tokens");
        out->p = p;
        out->cap = cap;
    }
    out->p[out->n++] = token;
    return OK;
}

int answer_tokens(struct ids *out, const struct tokenizer *t, const Answer *a, struct err *e)
{
    int rc = OK;

    if (a->n_tokens > 0) {
        for (size_t i = 0; i < a->n_tokens && rc == OK; i++)
            rc = a->tokens[i] < tokenizer_size(t)
                     ? add_token(out, (int32_t)a->tokens[i], e)
                     : err_set(e, E_INPUT, "an answer's token %u is not in the vocabulary",
                           a->tokens[i]);
        return rc;
    }
    rc = tokenizer_encode(t, out, a->text ? a->text : "", a->text ? strlen(a->text) : 0, e);
    return rc == OK ? add_token(out, (int32_t)tokenizer_model(t)->end_of_answer, e) : rc;
}

int prompt_tokens(
    struct ids *out, const struct tokenizer *t, Turn *const *turns, size_t n, struct err *e)
{
    *out = (struct ids){ 0 };
    int rc = add_token(out, tokenizer_start(t), e);

    if (rc == OK && n > 0)
        rc = template_prompt(t, out, turns, n, e);
    if (rc != OK)
        ids_free(out);
    return rc;
}

struct gathering {
    struct sequences *s;
    const struct tokenizer *t;
    size_t context;
};

static int gather(struct gathering *g, struct ids takes, struct err *e)
{
    struct sequences *s = g->s;

    if (takes.n > g->context) {
        ids_free(&takes);
        return OK;
    }
    struct ids *rows = realloc(s->rows, (s->n + 1) * sizeof *rows);
    if (!rows) {
        ids_free(&takes);
        return err_set(e, E_NOMEM, "no memory for answers");
    }
    s->rows = rows;
    s->rows[s->n++] = takes;
    return OK;
}

static int gather_demonstration(void *ctx, const struct conversation *k, struct err *e)
{
    struct gathering *g = ctx;
    struct ids ids = { 0 };
    uint8_t *mask = NULL;
    int rc = add_token(&ids, tokenizer_start(g->t), e);

    if (rc == OK)
        rc = template_conversation(g->t, &ids, &mask, k->turns, k->n, e);
    free(mask);
    if (rc == OK) {
        /* scored at the end token: drop what a template puts after it */
        int32_t end = (int32_t)tokenizer_model(g->t)->end_of_answer;
        while (ids.n > 1 && ids.p[ids.n - 1] != end)
            ids.n--;
        return gather(g, ids, e);
    }
    ids_free(&ids);
    return rc;
}

static int gather_best(struct gathering *g, const Ranking *r, struct err *e)
{
    struct ids ids = { 0 };
    int rc = prompt_tokens(&ids, g->t, r->prompt->turns, r->prompt->n_turns, e);

    if (rc == OK)
        rc = answer_tokens(&ids, g->t, r->answers[r->tiers[0]->answers[0]], e);
    if (rc == OK)
        return gather(g, ids, e);
    ids_free(&ids);
    return rc;
}

static int gather_rankings(struct gathering *g, struct store *s, const struct id *id, struct err *e)
{
    struct records_reader *r = NULL;
    int rc = records_open(&r, s, id, ARTIFACT_KIND__RANKINGS, &ranking__descriptor, e);

    while (rc == OK) {
        ProtobufCMessage *m = NULL;
        rc = records_next(r, &m, e);
        if (rc != OK || !m)
            break;
        const Ranking *k = (const Ranking *)m;
        if (k->prompt && k->n_tiers && k->tiers[0]->n_answers &&
            k->tiers[0]->answers[0] < k->n_answers)
            rc = gather_best(g, k, e);
        message_free(m);
    }
    records_close(r);
    return rc;
}

static int gather_demonstrations(
    struct gathering *g, struct store *s, const TaskSpec *spec, size_t n, struct err *e)
{
    struct id *files = calloc(n, sizeof *files);
    struct intake *im = NULL;
    int rc = files ? intake_new(&im, e) : err_set(e, E_NOMEM, "no memory for inputs");

    if (rc == OK)
        task_inputs(spec, "demonstrations", files, n);
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = demonstrations_each(im, s, &files[i], gather_demonstration, g, e);
    intake_free(im);
    free(files);
    return rc;
}

int sequences_good_answers(struct sequences *out, const struct task_context *c,
    const TaskSpec *spec, const struct model *m, struct err *e)
{
    struct gathering g = { .s = out, .context = m->config.context };
    size_t n = task_inputs(spec, "demonstrations", NULL, 0);
    struct id id;
    int rc = warm_tokenizer(&g.t, c, &m->tokenizer, e);

    *out = (struct sequences){ 0 };
    if (rc == OK && n > 0)
        rc = gather_demonstrations(&g, c->store, spec, n, e);
    else if (rc == OK && (rc = task_input(&id, spec, "rankings", e)) == OK)
        rc = gather_rankings(&g, c->store, &id, e);
    if (rc == OK && out->n == 0)
        rc = err_set(e, E_INPUT, "no good answer fits in the context of %zu tokens", g.context);
    if (rc == OK && !(out->items = calloc(out->n, sizeof *out->items)))
        rc = err_set(e, E_NOMEM, "no memory for answers");
    for (size_t i = 0; i < out->n && rc == OK; i++)
        out->items[i] = (struct scored_sequence){ out->rows[i].p, NULL, out->rows[i].n, 0 };
    if (rc != OK)
        sequences_free(out);
    return rc;
}

void sequences_free(struct sequences *s)
{
    for (size_t i = 0; i < s->n; i++)
        ids_free(&s->rows[i]);
    free(s->rows);
    free(s->items);
    *s = (struct sequences){ 0 };
}
