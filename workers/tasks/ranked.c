#include "workers/tasks/ranked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/tasks/losses.h"

static void examples_free(RankingExample **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        message_free(items[i]);
    free(items);
}

static void source_free(struct source *s)
{
    if (!s)
        return;
    examples_free(s->examples, s->n);
    examples_free(s->held_out, s->n_held_out);
    free(s->order);
    free(s);
}

/* Whether every answer has what the reference gives it. */
static bool has_reference(const RankingExample *x)
{
    for (size_t i = 0; i < x->n_rows; i++)
        if (!x->rows[i]->has_ref_log_prob || !isfinite(x->rows[i]->ref_log_prob))
            return false;
    return true;
}

static int example_check(const RankingExample *x, size_t context, bool compared, struct err *e)
{
    if (x->n_rows > RANKING_MAX)
        return err_set(e, E_CORRUPT, "a prompt with %zu answers", x->n_rows);
    for (size_t i = 0; i < x->n_rows; i++) {
        const Example *row = x->rows[i];
        if (row->n_tokens < 2 || row->n_tokens > context || row->prompt >= row->n_tokens)
            return err_set(e, E_CORRUPT, "an answer of %zu tokens, %u of them the prompt's",
                row->n_tokens, row->prompt);
    }
    if (compared && !has_reference(x))
        return err_set(e, E_CORRUPT, "an answer without its reference's log-probability");
    return OK;
}

/* Takes x. */
static int source_add(struct source *s, RankingExample *x, struct err *e)
{
    RankingExample ***list = x->held_out ? &s->held_out : &s->examples;
    size_t *n = x->held_out ? &s->n_held_out : &s->n, tokens = 0;
    RankingExample **more = realloc(*list, (*n + 1) * sizeof *more);

    if (!more) {
        message_free(x);
        return err_set(e, E_NOMEM, "no memory for rankings");
    }
    for (size_t i = 0; i < x->n_rows; i++)
        tokens += x->rows[i]->n_tokens;
    *list = more;
    more[(*n)++] = x;
    s->max_rows = x->n_rows > s->max_rows ? x->n_rows : s->max_rows;
    s->max_tokens = tokens > s->max_tokens ? tokens : s->max_tokens;
    return OK;
}

static int source_read(
    struct source *s, struct records_reader *r, size_t context, bool compared, struct err *e)
{
    int rc = OK;

    while (rc == OK) {
        ProtobufCMessage *m = NULL;
        rc = records_next(r, &m, e);
        if (rc != OK || !m)
            break;
        RankingExample *x = (RankingExample *)m;
        bool wanted = x->n_tiers >= 2 && (compared || !x->held_out);
        if (wanted)
            rc = example_check(x, context, compared, e);
        if (wanted && rc == OK)
            rc = source_add(s, x, e);
        else
            message_free(m);
    }
    if (rc == OK && s->n == 0)
        rc = err_set(e, E_INPUT, "there are no rankings to learn from (all tied, or none)");
    return rc;
}

int ranked_open(struct trainer *t, const TaskSpec *spec, bool compared, struct err *e)
{
    const TrainTask *k = t->task;
    struct records_reader *r = NULL;
    struct source *s = calloc(1, sizeof *s);
    struct id id;
    int rc = s ? OK : err_set(e, E_NOMEM, "no memory for rankings");

    t->source = s;
    t->source_free = source_free;
    if (rc == OK)
        rc = task_input(&id, spec, "examples", e);
    if (rc == OK)
        rc = records_open(
            &r, t->c->store, &id, ARTIFACT_KIND__RANKING_EXAMPLES, &ranking_example__descriptor, e);
    if (rc == OK)
        rc = source_read(s, r, t->policy.model->config.context, compared, e);
    records_close(r);
    if (rc == OK && !(s->order = calloc(s->n, sizeof *s->order)))
        rc = err_set(e, E_NOMEM, "no memory for rankings");
    if (rc != OK)
        return rc;
    t->counters.total = (s->n + k->batch_size - 1) / k->batch_size * k->epochs;
    t->stop = t->counters.step + k->segment;
    t->stop = t->stop < t->counters.total ? t->stop : t->counters.total;
    return rows_init(
        &t->rows, k->batch_size, k->batch_size * s->max_rows, k->batch_size * s->max_tokens, e);
}

uint32_t ranked_tier(const RankingExample *x, uint32_t answer)
{
    for (size_t k = 0; k < x->n_tiers; k++)
        for (size_t j = 0; j < x->tiers[k]->n_answers; j++)
            if (x->tiers[k]->answers[j] == answer)
                return (uint32_t)k;
    return 0; /* the encoder leaves no answer out of the tiers */
}

/* Asked: every token of the answers, or a reward model's score at their ends. */
static void rank_rows(struct rows *rows, const RankingExample *x, bool scores)
{
    rows_unit(rows);
    for (uint32_t i = 0; i < x->n_rows; i++) {
        const Example *row = x->rows[i];
        size_t at = rows_sequence(rows);
        for (size_t k = 0; k < row->n_tokens; k++)
            rows_token(rows, (int32_t)row->tokens[k], -1, 0);
        for (size_t k = row->prompt ? row->prompt : 1; k < row->n_tokens && !scores; k++)
            rows->target[at + k - 1] = (int32_t)row->tokens[k];
        if (scores)
            rows->target[rows->n_tokens - 1] = ASK_SCALAR;
        rows->tier[rows->n_sequences - 1] = ranked_tier(x, i);
    }
}

/* Place in the order of this step's first prompt. */
static size_t first_prompt(const struct trainer *t)
{
    size_t size = t->task->batch_size, per_epoch = (t->source->n + size - 1) / size;

    return (size_t)(t->counters.step % per_epoch) * size;
}

const RankingExample *ranked_example(const struct trainer *t, size_t u)
{
    return t->source->examples[t->source->order[first_prompt(t) + u]];
}

int ranked_batch(struct trainer *t, struct err *e)
{
    struct source *s = t->source;
    size_t size = t->task->batch_size, per_epoch = (s->n + size - 1) / size;
    uint64_t epoch = t->counters.step / per_epoch;
    size_t from = first_prompt(t);

    (void)e;
    if (!s->ordered || s->epoch != epoch) {
        rng_permutation(s->order, (uint32_t)s->n, t->seed, RNG_SHUFFLE, (uint32_t)epoch);
        s->ordered = true;
        s->epoch = epoch;
    }
    for (size_t u = 0; u < size && from + u < s->n; u++)
        rank_rows(&t->rows, ranked_example(t, u), t->policy.model->config.scalar_head);
    return OK;
}
