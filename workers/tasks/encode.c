#include "workers/tasks/run.h"

#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/sequences.h"
#include "workers/tasks/warm.h"
#include "workers/text/documents.h"
#include "workers/text/template.h"

/* People's texts → what a model is trained on. */

static int commit(struct answer *out, struct records_writer *w, const char *name, struct err *e)
{
    Output *o = NULL;
    int rc = records_commit(w, name, &o, e);

    return rc == OK ? answer_output(out, o, e) : rc;
}

/* ---- text → tokens ---- */

struct text_encoding {
    struct intake *im;
    const EncodeTask *k;
    const struct tokenizer *t;
    uint64_t document;            /* counts over all inputs */
    struct artifact_writer *w[2]; /* trained on, held out */
    int64_t documents[2], tokens[2], bytes[2];
};

static int encode_document(void *ctx, const char *text, size_t n, struct err *e)
{
    struct text_encoding *x = ctx;
    struct ids ids = { 0 };

    if (x->document++ % x->k->shards != x->k->shard)
        return OK;
    int which = held_out(text, n, x->k->held_out);
    int rc = tokenizer_encode(x->t, &ids, text, n, e);
    if (rc == OK) {
        int32_t end = (int32_t)tokenizer_model(x->t)->end_of_text;
        rc = artifact_write(x->w[which], ids.p, ids.n * sizeof *ids.p, e);
        if (rc == OK)
            rc = artifact_write(x->w[which], &end, sizeof end, e);
        x->documents[which]++;
        x->tokens[which] += (int64_t)ids.n + 1;
        x->bytes[which] += (int64_t)n;
    }
    ids_free(&ids);
    return rc;
}

static int commit_tokens(
    struct answer *out, struct text_encoding *x, int which, const char *name, struct err *e)
{
    Output *o = NULL;
    int rc = artifact_fact(x->w[which], "documents", x->documents[which], e);

    if (rc == OK)
        rc = artifact_fact(x->w[which], "tokens", x->tokens[which], e);
    if (rc == OK)
        rc = artifact_fact(x->w[which], "bytes", x->bytes[which], e);
    if (rc == OK) {
        rc = artifact_commit(x->w[which], name, &o, e);
        x->w[which] = NULL;
    }
    return rc == OK ? answer_output(out, o, e) : rc;
}

static int encode_text(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct text_encoding x = { .k = spec->encode };
    size_t n = task_inputs(spec, "text", NULL, 0);
    struct id tokenizer, *ids = calloc(n + 1, sizeof *ids);
    int rc = ids ? task_input(&tokenizer, spec, "tokenizer", e) : err_set(e, E_NOMEM, "no memory");

    if (rc == OK)
        rc = intake_new(&x.im, e);
    if (rc == OK)
        rc = warm_tokenizer(&x.t, c, &tokenizer, e);
    for (int i = 0; i < 2 && rc == OK; i++)
        rc = artifact_create(&x.w[i], c->store, ARTIFACT_KIND__TOKENS, e);
    if (rc == OK)
        task_inputs(spec, "text", ids, n);
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = documents_each(x.im, c->store, &ids[i], encode_document, &x, e);
    if (rc == OK)
        rc = commit_tokens(out, &x, 0, "tokens", e);
    if (rc == OK)
        rc = commit_tokens(out, &x, 1, "held_out", e);
    if (rc == OK)
        rc = answer_metric(out, "documents", (double)(x.documents[0] + x.documents[1]), e);
    if (rc == OK)
        rc = answer_intake(out, x.im, e);
    intake_free(x.im);
    artifact_abort(x.w[0]);
    artifact_abort(x.w[1]);
    free(ids);
    return rc;
}

/* ---- demonstrations → examples ---- */

struct example_encoding {
    struct intake *im;
    const struct tokenizer *t;
    size_t context;
    struct records_writer *w;
    int64_t kept, dropped, not_compared, tokens;
    uint32_t most; /* answers to one prompt; 0: any */
};

static int encode_demonstration(void *ctx, const struct conversation *k, struct err *e)
{
    struct example_encoding *x = ctx;
    struct ids ids = { 0 };
    uint8_t *mask = NULL;
    int rc = template_conversation(x->t, &ids, &mask, k->turns, k->n, e);

    if (rc == OK && ids.n > x->context) {
        x->dropped++;
    } else if (rc == OK) {
        Example row = EXAMPLE__INIT;
        uint32_t *tokens = malloc((ids.n + 1) * sizeof *tokens);
        uint8_t *loss = calloc(ids.n + 1, 1);
        if (tokens && loss) {
            tokens[0] = (uint32_t)tokenizer_start(x->t);
            memcpy(tokens + 1, ids.p, ids.n * sizeof *tokens);
            memcpy(loss + 1, mask, ids.n);
            row.tokens = tokens;
            row.n_tokens = ids.n + 1;
            row.has_loss = true;
            row.loss = (ProtobufCBinaryData){ ids.n + 1, loss };
            rc = records_add(x->w, &row.base, e);
            x->kept++;
            x->tokens += (int64_t)ids.n + 1;
        } else {
            rc = err_set(e, E_NOMEM, "no memory for an example");
        }
        free(tokens);
        free(loss);
    }
    ids_free(&ids);
    free(mask);
    return rc;
}

static int example_metrics(struct answer *out, const struct example_encoding *x, struct err *e)
{
    int rc = answer_metric(out, "examples", (double)x->kept, e);

    if (rc == OK)
        rc = answer_metric(out, "too_long", (double)x->dropped, e);
    return rc;
}

static int encode_demonstrations(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct example_encoding x = { 0 };
    ModelConfig m;
    size_t n = task_inputs(spec, "demonstrations", NULL, 0);
    struct id model, tokenizer, *files = calloc(n + 1, sizeof *files);
    int rc = files ? task_input(&model, spec, "model", e) : err_set(e, E_NOMEM, "no memory");

    if (rc == OK)
        rc = intake_new(&x.im, e);
    if (rc == OK)
        rc = model_describe(&m, &tokenizer, c->store, &model, "", e);
    if (rc == OK)
        rc = warm_tokenizer(&x.t, c, &tokenizer, e);
    if (rc == OK)
        rc = records_create(&x.w, c->store, ARTIFACT_KIND__EXAMPLES, e);
    if (rc == OK) {
        x.context = m.context;
        task_inputs(spec, "demonstrations", files, n);
    }
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = demonstrations_each(x.im, c->store, &files[i], encode_demonstration, &x, e);
    free(files);
    if (rc == OK && x.kept == 0)
        rc = x.dropped == 0
                 ? err_set(e, E_INPUT, "there are no demonstrations in the input")
                 : err_set(e, E_INPUT,
                       "no demonstration fits in the context of %zu tokens (%lld are longer)",
                       x.context, (long long)x.dropped);
    if (rc == OK)
        rc = records_fact(x.w, "too_long", x.dropped, e);
    if (rc == OK) {
        rc = commit(out, x.w, "examples", e);
        x.w = NULL;
    }
    if (rc == OK)
        rc = example_metrics(out, &x, e);
    if (rc == OK)
        rc = answer_intake(out, x.im, e);
    intake_free(x.im);
    records_abort(x.w);
    return rc;
}

/* ---- rankings → ranking examples ---- */

struct ranked_rows {
    RankingExample x;
    Example rows[RANKING_MAX], *row_pointers[RANKING_MAX];
    struct ids ids[RANKING_MAX];
    Tier tiers[RANKING_MAX], *tier_pointers[RANKING_MAX];
    uint32_t members[RANKING_MAX];
    double gold[RANKING_MAX];
    size_t n_members;
};

/* One answer becomes a row of the tier being filled; one that is too long is left out. */
static int add_row(struct ranked_rows *b, Tier *tier, const Ranking *r, uint32_t answer,
    struct example_encoding *x, struct err *e)
{
    struct ids *ids = &b->ids[b->x.n_rows];
    int rc = prompt_tokens(ids, x->t, r->prompt->turns, r->prompt->n_turns, e);
    size_t prompt = ids->n;

    if (rc == OK)
        rc = answer_tokens(ids, x->t, r->answers[answer], e);
    if (rc != OK || ids->n > x->context || ids->n == prompt) {
        ids_free(ids);
        *ids = (struct ids){ 0 };
        x->dropped += rc == OK;
        return rc;
    }
    Example *row = &b->rows[b->x.n_rows];
    example__init(row);
    row->has_prompt = true;
    row->prompt = (uint32_t)prompt;
    row->tokens = (uint32_t *)ids->p;
    row->n_tokens = ids->n;
    b->row_pointers[b->x.n_rows] = row;
    if (r->n_gold == r->n_answers)
        b->gold[b->x.n_gold++] = r->gold[answer];
    tier->answers[tier->n_answers++] = (uint32_t)b->x.n_rows++;
    b->n_members++;
    return OK;
}

static int add_tiers(
    struct ranked_rows *b, const Ranking *r, struct example_encoding *x, struct err *e)
{
    int rc = OK;

    for (size_t k = 0; k < r->n_tiers && rc == OK; k++) {
        Tier *tier = &b->tiers[b->x.n_tiers];
        tier__init(tier);
        tier->answers = b->members + b->n_members;
        for (size_t j = 0; j < r->tiers[k]->n_answers && rc == OK; j++) {
            uint32_t a = r->tiers[k]->answers[j];
            if (a >= r->n_answers || b->x.n_rows == RANKING_MAX)
                rc = err_set(e, E_INPUT,
                    "prompt '%s': more than %d answers, or a tier names one "
                    "that is not there",
                    r->prompt->id ? r->prompt->id : "", RANKING_MAX);
            else
                rc = add_row(b, tier, r, a, x, e);
        }
        if (tier->n_answers > 0)
            b->tier_pointers[b->x.n_tiers++] = tier;
    }
    return rc;
}

static int encode_ranking(struct example_encoding *x, const Ranking *r, double share, struct err *e)
{
    struct ranked_rows *b = calloc(1, sizeof *b);
    struct buf prompt = { 0 };
    int rc = b ? OK : err_set(e, E_NOMEM, "no memory for a ranking");

    if (rc == OK && x->most > 0 && r->n_answers > x->most)
        rc = err_set(e, E_INPUT,
            "prompt '%s' has %zu answers, more than max_answers %u: `max_answers: %zu` takes them",
            r->prompt->id ? r->prompt->id : "", r->n_answers, x->most, r->n_answers);
    if (rc == OK) {
        ranking_example__init(&b->x);
        rc = add_tiers(b, r, x, e);
    }
    if (rc == OK && b->x.n_tiers >= 2) {
        rc = message_pack(&prompt, &r->prompt->base);
        b->x.rows = b->row_pointers;
        b->x.tiers = b->tier_pointers;
        b->x.gold = b->gold;
        b->x.has_held_out = true;
        b->x.held_out = held_out(prompt.p, prompt.n, share);
        if (rc == OK)
            rc = records_add(x->w, &b->x.base, e);
        x->kept++;
    } else if (rc == OK) {
        x->not_compared++;
    }
    for (size_t i = 0; b && i < b->x.n_rows; i++)
        ids_free(&b->ids[i]);
    buf_free(&prompt);
    free(b);
    return rc;
}

static int encode_each_ranking(
    struct example_encoding *x, struct store *s, const struct id *id, double share, struct err *e)
{
    struct records_reader *r = NULL;
    int rc = records_open(&r, s, id, ARTIFACT_KIND__RANKINGS, &ranking__descriptor, e);

    while (rc == OK) {
        ProtobufCMessage *m = NULL;
        rc = records_next(r, &m, e);
        if (rc != OK || !m)
            break;
        if (!((Ranking *)m)->prompt)
            rc = err_set(e, E_CORRUPT, "a ranking without a prompt");
        else
            rc = encode_ranking(x, (Ranking *)m, share, e);
        message_free(m);
    }
    records_close(r);
    return rc;
}

static int encode_rankings(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct example_encoding x = { 0 };
    ModelConfig m;
    struct id model, tokenizer, rankings;
    int rc = task_input(&model, spec, "model", e);

    if (rc == OK)
        rc = task_input(&rankings, spec, "rankings", e);
    if (rc == OK)
        rc = model_describe(&m, &tokenizer, c->store, &model, "", e);
    if (rc == OK)
        rc = warm_tokenizer(&x.t, c, &tokenizer, e);
    if (rc == OK)
        rc = records_create(&x.w, c->store, ARTIFACT_KIND__RANKING_EXAMPLES, e);
    if (rc == OK) {
        x.context = m.context;
        x.most = spec->encode->max_answers;
        rc = encode_each_ranking(&x, c->store, &rankings, spec->encode->held_out, e);
    }
    if (rc == OK && x.kept == 0)
        rc = err_set(e, E_INPUT,
            "no ranking holds two answers that differ in rank and fit in %zu "
            "tokens",
            x.context);
    if (rc == OK) {
        rc = commit(out, x.w, "examples", e);
        x.w = NULL;
    }
    if (rc == OK) /* tied altogether, or only one answer fits */
        rc = answer_metric(out, "not_compared", (double)x.not_compared, e);
    if (rc == OK)
        rc = example_metrics(out, &x, e);
    records_abort(x.w);
    return rc;
}

int encode_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    static int (*const as[])(
        struct answer *, const struct task_context *, const TaskSpec *, struct err *) = {
        [ENCODE_AS__AS_TEXT] = encode_text,
        [ENCODE_AS__AS_DEMONSTRATIONS] = encode_demonstrations,
        [ENCODE_AS__AS_RANKINGS] = encode_rankings,
    };

    return as[spec->encode->as](out, c, spec, e);
}
