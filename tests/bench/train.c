#include "tests/bench/world.h"

#include <string.h>

#include "workers/tasks/memory.h"

/* The one training loop itself, on random tokens: it tells of its progress after every step, and
 * there it is held up until the next turn. */

struct row {
    struct turns *t;
    unsigned left; /* steps of this turn */
    double began;
};

static bool next_turn(struct row *r)
{
    bool more = turns_next(r->t, &r->left);

    r->left = r->left ? r->left : 1; /* the warm-up is a step as well */
    r->began = seconds();
    return more;
}

static int stepped(void *ctx, const Progress *p)
{
    struct row *r = ctx;

    for (size_t i = 0; i < p->n_metrics; i++)
        if (strcmp(p->metrics[i]->name, "memory_mib") == 0)
            r->t->computed = p->metrics[i]->value * (1 << 20);
    if (--r->left > 0)
        return 0;
    double spent = seconds() - r->began;
    turns_answer(r->t, &spent, 1);
    return next_turn(r) ? 0 : 1;
}

static TrainTask train_task(const struct work *w, ModelConfig *model)
{
    TrainTask k = TRAIN_TASK__INIT;
    bool bf16 = strcmp(w->precision, "bf16") == 0;

    k.has_precision = true;
    k.precision = bf16 ? PRECISION__BF16 : PRECISION__FP32;
    k.has_objective = k.has_segment = k.has_steps = k.has_batch_size = k.has_learning_rate = 1;
    k.objective = TRAIN_TASK__OBJECTIVE__LM;
    k.segment = k.steps = UINT32_MAX;
    k.batch_size = w->size->batch;
    k.learning_rate = 1e-4;
    k.schedule = SCHEDULE__CONSTANT;
    k.beta1 = .9;
    k.beta2 = .95;
    k.eps = 1e-8;
    k.weight_decay = .1;
    k.grad_clip = 1;
    k.has_gradient_accumulation = k.has_cross_documents = 1;
    k.gradient_accumulation = 1;
    k.cross_documents = true;
    k.model = model;
    return k;
}

int serve_train(struct turns *t, const struct work *w, const struct engine *en, struct err *e)
{
    struct world world;
    struct row row = { .t = t };
    ModelConfig model = size_config(w->size);
    TrainTask k = train_task(w, &model);
    struct spec s;
    struct id tokens;
    TaskAnswer *a = NULL;
    int rc = world_open(&world, w->size, e);

    model.has_vocab_size = 0; /* the tokenizer's */
    if (rc == OK)
        rc = world_tokens(&tokens, &world, w->size, 64, e);
    if (rc == OK && next_turn(&row)) {
        struct task_context c = { .store = world.store,
            .engine = en,
            .warm = world.warm,
            .progress = stepped,
            .ctx = &row,
            .resident = memory_resident() };
        spec_start(&s, TASK_SPEC__KIND_TRAIN);
        s.m.train = &k;
        spec_input(&s, "tokenizer", world.tokenizer);
        spec_input(&s, "tokens", tokens);
        message_fill_defaults(&s.m.base);
        rc = task_run(&a, &c, &s.m, e);
        message_free(a);
        rc = rc == E_CANCELLED ? OK : rc;
    }
    world_close(&world);
    return rc;
}
