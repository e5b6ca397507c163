#include "workers/tasks/forward.h"

#include <assert.h>
#include <string.h>

#include "workers/tasks/prompt_set.h"
#include "workers/tasks/scorer.h"
#include "workers/tasks/warm.h"

void forward_start(struct forward *f, const struct task_context *c, const char *what)
{
    *f = (struct forward){ .c = c, .need = { .what = what, .process = c->resident } };
}

int forward_model(struct forward *f, const struct id *id, const char *prefix, struct err *e)
{
    struct forward_model m = { .id = *id, .prefix = prefix };
    char hex[ID_HEX];

    for (size_t i = 0; i < f->n; i++)
        if (f->models[i].prefix && id_equal(&f->models[i].id, id) &&
            strcmp(f->models[i].prefix, prefix) == 0)
            return OK;
    int rc = model_describe(&m.config, NULL, f->c->store, id, prefix, e);
    if (rc != OK) {
        id_hex(hex, id);
        return err_wrap(e, "model %.12s", hex);
    }
    assert(f->n < FORWARD_MODELS);
    f->models[f->n++] = m;
    memory_add_model(&f->need, &m.config);
    return OK;
}

void forward_made(struct forward *f, const ModelConfig *c)
{
    assert(f->n < FORWARD_MODELS);
    f->models[f->n++] = (struct forward_model){ .config = *c };
    memory_add_model(&f->need, c);
}

void forward_packs(struct forward *f, Precision precision)
{
    assert(f->n > 0);
    f->packs = true;
    f->precision = packed_precision(precision);
    f->need.packed = panels_need(f->c->engine, &f->models[0].config, f->precision);
}

/* What is kept but for what is needed again. */
static uint64_t kept_beside(const struct forward *f)
{
    const struct warm *w = f->c->warm;
    const struct forward_model *first = &f->models[0];
    uint64_t kept = warm_models_bytes(w) + warm_trainer_bytes(w);

    for (size_t i = 0; i < f->n; i++) {
        const struct forward_model *m = &f->models[i];
        struct memory_need one = { 0 };
        if (!m->prefix || !warm_has_model(w, &m->id, m->prefix))
            continue;
        memory_add_model(&one, &m->config);
        kept -= one.weights;
    }
    if (f->packs && warm_has_panels(w, &first->id, first->prefix, f->precision))
        kept -= f->need.packed;
    return kept;
}

static uint64_t scoring_bytes(const struct forward *f, size_t n, size_t tokens, size_t longest)
{
    uint64_t most = 0;

    for (size_t i = 0; i < f->n; i++) {
        uint64_t one = scorer_bytes(&f->models[i].config, n, tokens, longest);
        most = one > most ? one : most;
    }
    return most;
}

/* What work takes that is as large as passes get. */
static uint64_t large_work(const struct forward *f)
{
    enum { TOKENS = 4096 };
    const struct generator_options o = { .sampler = { .temperature = 1, .min_p = 1 },
        .precision = f->precision,
        .slots = GENERATION_SLOTS };
    const ModelConfig *c = &f->models[0].config;
    uint64_t scoring = scoring_bytes(f, 1, TOKENS, c->context);
    uint64_t answers =
        f->packs ? generate_bytes(f->c->engine, c, GENERATION_SLOTS, c->context, &o) : 0;

    return scoring > answers ? scoring : answers;
}

int forward_admit(struct forward *f, struct err *e)
{
    static void (*const drop[])(struct warm * w) = { warm_drop_models, warm_drop_trainer };
    const struct forward_model *first = &f->models[0];
    struct warm *w = f->c->warm;
    uint64_t room = f->c->memory, work = large_work(f);

    if (f->packs && !warm_has_panels(w, &first->id, first->prefix, f->precision))
        warm_drop_panels(w);
    f->need.kept = kept_beside(f);
    for (size_t i = 0; i < sizeof drop / sizeof *drop; i++)
        if (room > 0 && f->need.kept > 0 && memory_total(&f->need) + work > room) {
            drop[i](w);
            f->need.kept = kept_beside(f);
        }
    return memory_check(&f->need, room, e);
}

int forward_answers(struct forward *f, const struct generation *g, size_t n,
    const struct generator_options *o, uint64_t batch, struct err *e)
{
    const ModelConfig *c = &f->models[0].config;
    struct generator_options packed = *o;
    size_t tokens = 0, longest = 0;

    packed.precision = f->precision;
    for (size_t i = 0; i < n; i++) {
        size_t most = g[i].n_prompt + o->max_new;
        most = most < c->context ? most : c->context;
        tokens += most;
        longest = most > longest ? most : longest;
    }
    memory_add_work(&f->need, generate_bytes(f->c->engine, c, n, longest, &packed), 0, batch);
    if (f->scores && n > 0)
        memory_add_work(&f->need, 0, scoring_bytes(f, n, tokens, longest), batch);
    return memory_check(&f->need, f->c->memory, e);
}

int forward_scoring(struct forward *f, size_t n, size_t tokens, size_t longest, struct err *e)
{
    if (n > 0)
        memory_add_work(&f->need, 0, scoring_bytes(f, n, tokens, longest), 0);
    return memory_check(&f->need, f->c->memory, e);
}

int forward_ranked(struct forward *f, const RankingExample *x, struct err *e)
{
    size_t tokens = 0, longest = 0;

    for (size_t i = 0; i < x->n_rows; i++) {
        tokens += x->rows[i]->n_tokens;
        longest = x->rows[i]->n_tokens > longest ? x->rows[i]->n_tokens : longest;
    }
    return forward_scoring(f, x->n_rows, tokens, longest, e);
}

static double mib(const struct forward *f)
{
    return (double)memory_total(&f->need) / (1 << 20);
}

int forward_tell(const struct forward *f, size_t done, size_t total)
{
    Progress p = PROGRESS__INIT;
    Metric memory = METRIC__INIT, *metrics[] = { &memory };

    memory.name = "memory_mib";
    memory.has_value = true;
    memory.value = mib(f);
    p.has_done = p.has_total = true;
    p.done = done;
    p.total = total;
    p.metrics = metrics;
    p.n_metrics = 1;
    return f->c->progress ? f->c->progress(f->c->ctx, &p) : 0;
}

int forward_metric(const struct forward *f, struct answer *out, struct err *e)
{
    return answer_metric(out, "memory_mib", mib(f), e);
}
