#include "workers/tasks/choice.h"

#include <math.h>
#include <stdlib.h>

#include "workers/tasks/prompt_set.h"
#include "workers/tasks/run.h"
#include "workers/tasks/scorer.h"
#include "workers/tasks/warm.h"

struct choice {
    struct model *teacher;
    struct prompt_set prompts;
    struct generator_options options;
    struct generation *g;
    struct scored_sequence *s;
    int32_t *tokens; /* prompts x max_new */
    float *score;
};

static int make_room(struct choice *x, struct err *e)
{
    size_t n = x->prompts.n, room = x->options.max_new;

    x->g = calloc(n, sizeof *x->g);
    x->s = calloc(n, sizeof *x->s);
    x->tokens = calloc(n * room + 1, sizeof *x->tokens);
    x->score = calloc(n, sizeof *x->score);
    return x->g && x->s && x->tokens && x->score
               ? OK
               : err_set(e, E_NOMEM, "no memory for %zu answers", n);
}

static int read_inputs(struct choice *x, const struct task_context *c, const TaskSpec *spec,
    const struct model *like, struct err *e)
{
    size_t room = spec->train->chosen_max_new_tokens;
    const struct tokenizer *t;
    struct id teacher, prompts;
    int rc = task_input(&teacher, spec, "reward_model", e);

    if (rc == OK)
        rc = task_input(&prompts, spec, "prompts", e);
    if (rc == OK)
        rc = model_load(&x->teacher, c->store, &teacher, "", e);
    if (rc == OK && !id_equal(&like->tokenizer, &x->teacher->tokenizer))
        rc = err_set(e, E_INPUT, "the model and the reward model have different tokenizers");
    if (rc == OK)
        rc = warm_tokenizer(&t, c, &like->tokenizer, e);
    if (rc != OK)
        return rc;
    x->options = generator_options_for(t, spec->seed, 0, room);
    generator_ban_specials(&x->options, t);
    return prompt_set_load(&x->prompts, c, &prompts, like, room, spec->train->chosen_limit, e);
}

int choice_open(struct choice **out, const struct task_context *c, const TaskSpec *spec,
    const struct model *like, struct err *e)
{
    struct choice *x = calloc(1, sizeof *x);
    int rc = x ? read_inputs(x, c, spec, like, e)
               : err_set(e, E_NOMEM, "no memory to choose a checkpoint");

    if (rc == OK)
        rc = make_room(x, e);
    if (rc != OK) {
        choice_close(x);
        return err_wrap(e, "choosing a checkpoint");
    }
    *out = x;
    return OK;
}

void choice_close(struct choice *x)
{
    if (!x)
        return;
    model_free(x->teacher);
    prompt_set_free(&x->prompts);
    free(x->g);
    free(x->s);
    free(x->tokens);
    free(x->score);
    free(x);
}

uint64_t choice_bytes(const struct choice *x)
{
    size_t each = sizeof *x->g + sizeof *x->s + sizeof *x->score;

    return x->teacher->n_params * sizeof *x->teacher->params +
           x->prompts.n * (each + x->options.max_new * sizeof *x->tokens);
}

int choice_score(double *out, struct choice *x, const struct task_context *c, const struct model *m,
    struct err *e)
{
    size_t n = x->prompts.n;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        x->g[i] = (struct generation){ .prompt = x->prompts.tokens[i].p,
            .n_prompt = x->prompts.tokens[i].n,
            .item = i,
            .tokens = x->tokens + i * x->options.max_new };
    int rc = generate(c->engine, m, x->g, n, &x->options, NULL, NULL, e);
    for (size_t i = 0; i < n && rc == OK; i++)
        x->s[i] = (struct scored_sequence){ x->g[i].prompt, x->g[i].tokens, x->g[i].n_prompt,
            x->g[i].n_tokens };
    if (rc == OK)
        rc = score_rewards(x->score, c, x->teacher, x->s, n, e);
    for (size_t i = 0; i < n && rc == OK; i++)
        sum += (double)x->score[i];
    *out = sum / (double)n;
    if (rc == OK && !isfinite(*out))
        rc = err_set(e, E_INVARIANT, "invariant 'finite score': the reward model gives %g", *out);
    return rc == OK ? OK : err_wrap(e, "choosing a checkpoint");
}
