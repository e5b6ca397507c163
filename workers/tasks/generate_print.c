#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "proto/utf8.h"
#include "workers/tasks/forward.h"
#include "workers/tasks/prompt_set.h"
#include "workers/tasks/sampled.h"
#include "workers/tasks/sequences.h"
#include "workers/tasks/task.h"
#include "workers/tasks/warm.h"

/* `jielong generate`: answers for a person, and the distributions they were drawn from. */

struct printing {
    const struct task_context *c;
    const struct generate_request *r;
    const struct model *m;
    ModelConfig config; /* the model's: known before it is loaded */
    const struct tokenizer *t;
    struct forward f;
    struct ids prompt;
    size_t most; /* tokens of an answer */
    struct generator_options o;
    struct buf *out;
};

static int read_prompt(struct printing *x, struct err *e)
{
    const struct generate_request *r = x->r;
    Turn system = TURN__INIT, user = TURN__INIT, *turns[] = { &system, &user };

    system.has_role = user.has_role = true;
    system.role = ROLE__SYSTEM;
    system.text = (char *)(uintptr_t)r->system;
    user.role = ROLE__USER;
    user.text = (char *)(uintptr_t)r->prompt;
    int rc = r->raw ? prompt_tokens(&x->prompt, x->t, NULL, 0, e)
                    : prompt_tokens(&x->prompt, x->t, turns + !r->system, r->system ? 2 : 1, e);
    if (rc == OK && r->raw)
        rc = tokenizer_encode(x->t, &x->prompt, r->prompt, strlen(r->prompt), e);
    if (rc == OK && x->prompt.n >= x->config.context)
        rc = err_set(e, E_INPUT, "the prompt has %zu tokens; the model's context is %u",
            x->prompt.n, x->config.context);
    return rc;
}

static int token_text(struct buf *out, struct span token)
{
    if (utf8_valid(token.p, token.n))
        return json_string(out, token.p, token.n);
    int rc = buf_printf(out, "<");
    for (size_t i = 0; i < token.n && rc == OK; i++)
        rc = buf_printf(out, "%s%02X", i ? " " : "", ((const uint8_t *)token.p)[i]);
    return rc == OK ? buf_printf(out, ">") : rc;
}

/* Pads to a column, by display width. */
static int pad_to(struct buf *out, size_t from, int columns)
{
    int rc = OK;

    for (int w = utf8_columns(out->p + from); w < columns && rc == OK; w++)
        rc = buf_printf(out, " ");
    return rc;
}

static int probability_row(
    struct printing *x, size_t rank, int32_t id, bool chosen, float model, float sampled)
{
    char bar[21];
    int filled = (int)(model * 20 + .5f);
    int rc = buf_printf(x->out, " %c %5zu  %-7d", chosen ? '*' : ' ', rank, id);
    size_t at = x->out->n;

    for (int i = 0; i < 20; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[20] = '\0';
    if (rc == OK)
        rc = token_text(x->out, tokenizer_bytes(x->t, id));
    if (rc == OK)
        rc = pad_to(x->out, at, 16);
    if (rc == OK)
        rc = buf_printf(x->out, " %7.2f%%  ", 100 * (double)model);
    if (rc == OK)
        rc = sampled > 0 ? buf_printf(x->out, "%12.2f%%  %s\n", 100 * (double)sampled, bar)
                         : buf_printf(x->out, "%13s  %s\n", "cut", bar);
    return rc;
}

struct distribution {
    float *logits, *model, *sampled;
    int32_t *scratch, *order;
    size_t vocab;
};

static int by_probability(const void *a, const void *b, void *ctx)
{
    const float *p = ctx;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return p[x] > p[y] ? -1 : p[x] < p[y] ? 1 : x < y ? -1 : 1;
}

static int distribution_init(struct distribution *d, size_t vocab, struct err *e)
{
    *d = (struct distribution){ .vocab = vocab };
    d->logits = calloc(vocab, sizeof *d->logits);
    d->model = calloc(vocab, sizeof *d->model);
    d->sampled = calloc(vocab, sizeof *d->sampled);
    d->scratch = calloc(vocab, sizeof *d->scratch);
    d->order = calloc(vocab, sizeof *d->order);
    return d->logits && d->model && d->sampled && d->scratch && d->order
               ? OK
               : err_set(e, E_NOMEM, "no memory for %zu probabilities", vocab);
}

static void distribution_free(struct distribution *d)
{
    free(d->logits);
    free(d->model);
    free(d->sampled);
    free(d->scratch);
    free(d->order);
}

static double entropy_bits(const float *p, size_t n)
{
    double h = 0;

    for (size_t i = 0; i < n; i++)
        if (p[i] > 0)
            h -= p[i] * log2(p[i]);
    return h;
}

static int show_position(
    struct printing *x, struct distribution *d, size_t position, int32_t chosen)
{
    static const struct sampler plain = { .temperature = 1, .top_p = 1 };
    size_t rows = (size_t)x->r->show_probabilities, rank = 0;
    double rest_model = 1, rest_sampled = 1;

    sampler_probabilities(d->model, d->logits, d->vocab, &plain, d->scratch);
    for (size_t i = 0; i < x->o.n_banned; i++)
        d->logits[x->o.banned[i]] = -INFINITY;
    sampler_probabilities(d->sampled, d->logits, d->vocab, &x->o.sampler, d->scratch);
    for (size_t i = 0; i < d->vocab; i++)
        d->order[i] = (int32_t)i;
    qsort_r(d->order, d->vocab, sizeof *d->order, by_probability, d->model);
    while (d->order[rank] != chosen)
        rank++;
    int rc = buf_printf(x->out, "pos %zu  chosen ", position + 1);
    if (rc == OK)
        rc = token_text(x->out, tokenizer_bytes(x->t, chosen));
    if (rc == OK)
        rc = buf_printf(x->out,
            " rank %zu  entropy %.2f bits  order: temperature > top-k > top-p > "
            "min-p\n    rank  id     token            model p   after sampler  (model p)\n",
            rank + 1, entropy_bits(d->model, d->vocab));
    for (size_t i = 0; i < d->vocab && rc == OK; i++) {
        int32_t id = d->order[i];
        if (i >= rows && i != rank)
            continue;
        rest_model -= d->model[id];
        rest_sampled -= d->sampled[id];
        rc = probability_row(x, i + 1, id, id == chosen, d->model[id], d->sampled[id]);
    }
    size_t shown = rows < d->vocab ? rows + (rank >= rows) : d->vocab;
    if (rc == OK && shown < d->vocab)
        rc = buf_printf(x->out, "   rest  %-22s %7.2f%%  %12.2f%%\n", "", 100 * fmax(rest_model, 0),
            100 * fmax(rest_sampled, 0));
    return rc;
}

static int show_probabilities(struct printing *x, const struct generation *g, struct err *e)
{
    struct distribution d;
    struct workspace *w = NULL;
    size_t n = g->n_prompt + g->n_tokens;
    int32_t *tokens = calloc(n, sizeof *tokens);
    int rc = distribution_init(&d, tokenizer_size(x->t), e);

    if (rc == OK && !tokens)
        rc = err_set(e, E_NOMEM, "no memory");
    if (rc == OK)
        rc = workspace_new(&w, &x->m->config, n, false, e);
    if (rc == OK) {
        uint32_t start[] = { 0, (uint32_t)(n - 1) };
        struct batch b = { 1, n - 1, start, tokens, NULL, NULL };
        memcpy(tokens, g->prompt, g->n_prompt * sizeof *tokens);
        memcpy(tokens + g->n_prompt, g->tokens, g->n_tokens * sizeof *tokens);
        transformer_forward(w, x->c->engine, x->m, &b);
        for (size_t i = 0; i < g->n_tokens && rc == OK; i++) {
            transformer_logits(w, x->c->engine, x->m, g->n_prompt - 1 + i, d.logits);
            rc = show_position(x, &d, i, g->tokens[i]);
        }
    }
    workspace_free(w);
    distribution_free(&d);
    free(tokens);
    return rc;
}

static int print_plain(struct printing *x, const struct generation *g, struct err *e)
{
    char *text = text_of(x->t, g->tokens, g->n_tokens, e);
    int rc = text ? utf8_escape(x->out, text, strlen(text)) : E_NOMEM;

    free(text);
    if (rc == OK)
        rc = buf_printf(x->out, "%s\n", g->ended ? "" : " …");
    if (rc == OK && x->r->show_probabilities > 0)
        rc = show_probabilities(x, g, e);
    return rc;
}

static int print_json(struct printing *x, const struct generation *g, size_t i, struct err *e)
{
    char *text = text_of(x->t, g->tokens, g->n_tokens, e);
    int rc = text ? buf_printf(x->out, "%s{\"text\": ", i ? ", " : "") : E_NOMEM;

    if (rc == OK)
        rc = json_string(x->out, text, strlen(text));
    if (rc == OK)
        rc = buf_printf(
            x->out, ", \"tokens\": %zu, \"ended\": %s}", g->n_tokens, g->ended ? "true" : "false");
    free(text);
    return rc;
}

static int print_all(struct printing *x, const struct generation *g, struct err *e)
{
    const struct generate_request *r = x->r;
    int rc = OK;

    if (r->json) {
        rc = buf_printf(x->out, "{\"schema\": 1, \"prompt\": ");
        if (rc == OK)
            rc = json_string(x->out, r->prompt, strlen(r->prompt));
        if (rc == OK)
            rc =
                buf_printf(x->out, ", \"seed\": %llu, \"answers\": [", (unsigned long long)r->seed);
    }
    for (size_t i = 0; i < r->count && rc == OK; i++)
        rc = r->json ? print_json(x, &g[i], i, e) : print_plain(x, &g[i], e);
    if (r->json && rc == OK)
        rc = buf_printf(x->out, "]}\n");
    return rc;
}

/* All that is known before the model is loaded. */
static int prepare(struct printing *x, struct err *e)
{
    const struct generate_request *r = x->r;
    struct id tokenizer;
    int rc = model_describe(&x->config, &tokenizer, x->c->store, &r->checkpoint, "", e);

    if (rc == OK && x->config.scalar_head)
        rc = err_set(e, E_INPUT, "this is a reward model: it scores answers and writes none");
    if (rc == OK)
        rc = warm_tokenizer(&x->t, x->c, &tokenizer, e);
    if (rc == OK)
        rc = read_prompt(x, e);
    if (rc != OK)
        return rc;
    x->most = x->config.context - x->prompt.n;
    x->most = r->max_new_tokens < x->most ? r->max_new_tokens : x->most;
    x->o = generator_options_for(x->t, r->seed, 0, x->most);
    x->o.sampler = (struct sampler){ r->temperature, r->top_k, r->top_p, r->min_p };
    generator_ban_specials(&x->o, x->t);
    return OK;
}

/* What is shown beside answers: each position's distribution, from one pass over an answer. */
static uint64_t shown_bytes(const struct printing *x)
{
    const struct distribution *d = NULL;
    size_t vocab = x->config.vocab_size;

    if (x->r->show_probabilities == 0)
        return 0;
    return workspace_bytes(&x->config, x->prompt.n + x->most, 0) +
           vocab * (sizeof *d->logits + sizeof *d->model + sizeof *d->sampled + sizeof *d->scratch +
                       sizeof *d->order);
}

/* Says what is needed, and refuses what cannot fit. */
static int admit(struct printing *x, const struct generation *g, struct err *e)
{
    size_t each = sizeof *g + x->most * sizeof *g->tokens;
    int rc;

    forward_start(&x->f, x->c, "answering");
    rc = forward_model(&x->f, &x->r->checkpoint, "", e);
    if (rc != OK)
        return rc;
    forward_packs(&x->f, PRECISION__FP32);
    memory_add_work(&x->f.need, 0, shown_bytes(x), x->r->count * each);
    rc = forward_answers(&x->f, g, x->r->count, &x->o, x->r->count * each, e);
    if (rc == OK)
        rc = forward_admit(&x->f, e);
    if (rc == OK && forward_tell(&x->f, 0, x->r->count) != 0)
        rc = err_set(e, E_CANCELLED, "generation was stopped");
    return rc;
}

static int answer(struct printing *x, struct generation *g, int32_t *tokens, struct err *e)
{
    const struct generate_request *r = x->r;
    int rc = warm_model(&x->m, x->c, &r->checkpoint, "", e);

    if (rc == OK)
        rc = warm_panels(&x->o, x->c, x->m, &r->checkpoint, "", PRECISION__FP32, e);
    for (size_t i = 0; i < r->count; i++)
        g[i].tokens = tokens + i * x->most;
    if (rc == OK)
        rc = generate(x->c->engine, x->m, g, r->count, &x->o, NULL, NULL, e);
    if (rc == OK) {
        rc = print_all(x, g, e);
        if (rc != OK && !e->code)
            err_set(e, rc, "no memory for the answer");
    }
    return rc;
}

int generate_print(
    struct buf *out, const struct task_context *c, const struct generate_request *r, struct err *e)
{
    struct printing x = { .c = c, .r = r, .out = out };
    struct generation *g = calloc(r->count + 1, sizeof *g);
    int32_t *tokens = NULL;
    int rc = g ? prepare(&x, e) : err_set(e, E_NOMEM, "no memory");

    for (size_t i = 0; rc == OK && i < r->count; i++)
        g[i] = (struct generation){ .prompt = x.prompt.p, .n_prompt = x.prompt.n, .item = i };
    if (rc == OK)
        rc = admit(&x, g, e);
    if (rc == OK && !(tokens = calloc(r->count + 1, x.most * sizeof *tokens)))
        rc = err_set(e, E_NOMEM, "no memory");
    if (rc == OK)
        rc = answer(&x, g, tokens, e);
    ids_free(&x.prompt);
    free(g);
    free(tokens);
    return rc;
}
