#include "tests/bench/bench.h"

#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/model/generator.h"

/* Sampling from random weights, nothing cut off and nothing that ends an answer early. The weights
 * are packed beforehand, once, as for all answers of one policy. */

struct prompts {
    struct generation *g;
    int32_t *tokens; /* prompt and answer of each */
};

static int prompts_init(struct prompts *p, const struct work *w, struct err *e)
{
    const size_t each = PROMPT_DECODE + NEW_TOKENS;

    p->g = calloc(w->sequences, sizeof *p->g);
    p->tokens = calloc(w->sequences, each * sizeof *p->tokens);
    if (!p->g || !p->tokens)
        return err_set(e, E_NOMEM, "no memory for %u prompts", w->sequences);
    for (size_t i = 0; i < w->sequences * each; i++)
        p->tokens[i] = (int32_t)(rng_uniform(7, RNG_PROMPT, 0, i) * (double)w->size->vocabulary);
    for (size_t i = 0; i < w->sequences; i++)
        p->g[i] = (struct generation){ .prompt = p->tokens + i * each,
            .n_prompt = PROMPT_DECODE,
            .item = i,
            .tokens = p->tokens + i * each + PROMPT_DECODE };
    return OK;
}

static enum precision precision(const struct work *w)
{
    return strcmp(w->precision, "bf16") == 0 ? PRECISION_BF16 : PRECISION_FP32;
}

static int sample(const struct engine *en, const struct model *m, const struct panels *packed,
    struct prompts *p, const struct work *w, size_t new_tokens, struct err *e)
{
    struct generator_options o = { .sampler = { .temperature = 1, .top_p = 1 },
        .seed = 7,
        .precision = precision(w),
        .panels = packed,
        .max_new = new_tokens,
        .slots = w->sequences };

    return generate(en, m, p->g, w->sequences, &o, NULL, NULL, e);
}

int serve_decode(struct turns *t, const struct work *w, const struct engine *en, struct err *e)
{
    ModelConfig c = size_config(w->size);
    struct prompts p = { 0 };
    struct model *m = NULL;
    struct panels *packed = NULL;
    unsigned n;
    int rc = model_new(&m, &c, e);

    if (rc == OK) {
        model_init(m, 7);
        rc = prompts_init(&p, w, e);
    }
    if (rc == OK)
        rc = panels_new(&packed, en, m, precision(w), e);
    while (rc == OK && turns_next(t, &n)) {
        double began = seconds();
        if (n == 0)
            rc = sample(en, m, packed, &p, w, 2, e);
        for (unsigned i = 0; i < n && rc == OK; i++)
            rc = sample(en, m, packed, &p, w, NEW_TOKENS, e);
        double spent = seconds() - began;
        if (rc == OK)
            turns_answer(t, &spent, 1);
    }
    free(p.g);
    free(p.tokens);
    panels_free(packed);
    model_free(m);
    return rc;
}
