#include "workers/tasks/scorer.h"

#include <stdlib.h>
#include <string.h>

#include "workers/tasks/rows.h"

#define SCORE_TOKENS 1024 /* in one forward pass */

struct scorer {
    const struct task_context *c;
    const struct model *m;
    struct workspace *w;
    struct rows rows;
    float *out;
    uint32_t *starts;
};

/* Tokens of the largest pass. */
static size_t scorer_room(size_t tokens, size_t longest)
{
    size_t room = tokens < SCORE_TOKENS ? tokens : SCORE_TOKENS;

    return room > longest ? room : longest;
}

size_t scorer_bytes(const ModelConfig *c, size_t n, size_t tokens, size_t longest)
{
    const struct rows r = { .max_units = n, .max_sequences = n, .max_tokens = tokens };
    struct scorer x;
    size_t room = scorer_room(tokens, longest);

    return rows_bytes(&r) + room * sizeof *x.out + n * sizeof *x.starts +
           workspace_bytes(c, room, 0);
}

static int scorer_init(
    struct scorer *x, const struct scored_sequence *s, size_t n, Precision precision, struct err *e)
{
    const struct model *m = x->m;
    size_t tokens = 0, longest = 0;

    for (size_t i = 0; i < n; i++) {
        size_t k = s[i].n_prompt + s[i].n_answer;
        if (k > m->config.context)
            return err_set(e, E_INPUT, "a sequence of %zu tokens exceeds the context of %u", k,
                m->config.context);
        longest = k > longest ? k : longest;
        tokens += k;
    }
    size_t room = scorer_room(tokens, longest);
    x->out = calloc(room + 1, sizeof *x->out);
    x->starts = calloc(n + 1, sizeof *x->starts);
    if (!x->out || !x->starts)
        return err_set(e, E_NOMEM, "no memory to score %zu tokens", tokens);
    int rc = rows_init(&x->rows, n, n, tokens, e);
    return rc == OK ? workspace_new(&x->w, &m->config, room, workspace_precision(precision), e)
                    : rc;
}

static void scorer_free(struct scorer *x)
{
    workspace_free(x->w);
    rows_free(&x->rows);
    free(x->out);
    free(x->starts);
}

/* One unit for each sequence. Asked: the answer's tokens, or the scalar head at its end. */
static void scorer_rows(struct rows *r, const struct scored_sequence *s, size_t n, bool last)
{
    for (size_t i = 0; i < n; i++) {
        rows_unit(r);
        size_t at = rows_sequence(r);
        for (size_t k = 0; k < s[i].n_prompt; k++)
            rows_token(r, s[i].prompt[k], -1, 0);
        for (size_t k = 0; k < s[i].n_answer; k++)
            rows_token(r, s[i].answer[k], -1, 0);
        for (size_t k = 0; k < s[i].n_answer && !last; k++)
            r->target[at + s[i].n_prompt - 1 + k] = s[i].answer[k];
        if (last)
            r->target[r->n_tokens - 1] = ASK_SCALAR;
    }
}

/* Where outputs go: each[i]: one for each answer token; last[i]: that at the last token. */
struct outputs {
    float *const *each;
    float *last;
    bool values; /* of the scalar head, else log-probabilities */
};

static void put_out(
    const struct outputs *o, const struct scored_sequence *s, size_t i, const float *row)
{
    if (o->each)
        memcpy(o->each[i], row + s[i].n_prompt - 1, s[i].n_answer * sizeof(float));
    if (o->last)
        o->last[i] = row[s[i].n_prompt + s[i].n_answer - 1];
}

static int score_each(const struct outputs *o, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, const struct scorer_options *how, struct err *e)
{
    struct scorer x = { .c = c, .m = m };
    struct batch b;
    size_t token0;
    int rc = n ? scorer_init(&x, s, n, how->precision, e) : OK;

    if (rc == OK)
        scorer_rows(&x.rows, s, n, o->last != NULL);
    for (size_t u = 0; u < n && rc == OK;) {
        size_t first = u;
        u = rows_micro(&x.rows, u, SCORE_TOKENS, x.starts, &b, &token0);
        transformer_forward(x.w, c->engine, m, &b);
        if (o->values)
            transformer_values(x.w, c->engine, m, x.out);
        else
            transformer_log_probs(
                x.w, c->engine, m, x.rows.target + token0, (float)how->temperature, x.out, NULL);
        for (size_t i = first; i < u; i++)
            put_out(o, s, i, x.out + x.starts[i - first]);
    }
    scorer_free(&x);
    return rc;
}

int score_log_probs(float *const *log_prob, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, const struct scorer_options *how, struct err *e)
{
    if (m->config.scalar_head)
        return err_set(e, E_INPUT, "a reward model has no next-token probabilities");
    return score_each(&(struct outputs){ .each = log_prob }, c, m, s, n, how, e);
}

/* Room for the log-probabilities of every answer's tokens, row by row. */
static int answer_rows(float **row, struct scored_sequence *s, const RankingExample *x,
    const struct model *m, struct err *e)
{
    size_t tokens = 0;

    for (size_t i = 0; i < x->n_rows; i++) {
        const Example *one = x->rows[i];
        if (one->prompt == 0 || one->prompt >= one->n_tokens || one->n_tokens > m->config.context)
            return err_set(e, E_CORRUPT, "an answer of %zu tokens, %u of them the prompt's",
                one->n_tokens, one->prompt);
        const int32_t *ids = (const int32_t *)one->tokens;
        s[i] = (struct scored_sequence){ ids, ids + one->prompt, one->prompt,
            one->n_tokens - one->prompt };
        tokens += s[i].n_answer;
    }
    row[0] = calloc(tokens + 1, sizeof **row);
    if (!row[0])
        return err_set(e, E_NOMEM, "no memory for %zu log-probabilities", tokens);
    for (size_t i = 1; i < x->n_rows; i++)
        row[i] = row[i - 1] + s[i - 1].n_answer;
    return OK;
}

int score_answers(double *log_prob, const struct task_context *c, const struct model *m,
    const RankingExample *x, Precision precision, struct err *e)
{
    struct scored_sequence s[RANKING_MAX];
    float *row[RANKING_MAX] = { NULL };
    const struct scorer_options how = { 1, precision };

    if (x->n_rows > RANKING_MAX)
        return err_set(e, E_CORRUPT, "a prompt with %zu answers", x->n_rows);
    int rc = answer_rows(row, s, x, m, e);
    if (rc == OK)
        rc = score_log_probs(row, c, m, s, x->n_rows, &how, e);
    for (size_t i = 0; i < x->n_rows && rc == OK; i++) {
        log_prob[i] = 0;
        for (size_t k = 0; k < s[i].n_answer; k++)
            log_prob[i] += row[i][k];
    }
    free(row[0]);
    return rc;
}

int score_values(float *const *value, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, Precision precision, struct err *e)
{
    const struct scorer_options how = { 1, precision };

    if (!m->config.scalar_head && !m->config.value_head)
        return err_set(e, E_INPUT, "a language model gives no values");
    return score_each(&(struct outputs){ .each = value, .values = true }, c, m, s, n, &how, e);
}

int score_rewards(float *score, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, struct err *e)
{
    const struct scorer_options how = { 1, PRECISION__FP32 };

    if (!m->config.scalar_head)
        return err_set(e, E_INPUT, "a language model gives no scores");
    return score_each(&(struct outputs){ .last = score, .values = true }, c, m, s, n, &how, e);
}
