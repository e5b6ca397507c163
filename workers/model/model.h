#ifndef WORKERS_MODEL_MODEL_H
#define WORKERS_MODEL_MODEL_H

#include "proto/message.h"
#include "store/checkpoint.h"
#include "workers/math/arena.h"
#include "workers/math/engine.h"

struct pool;

/* A transformer's weights: one flat array, described by one tensor table, which also drives
 * gradients, moments, initialisation, weight decay, checkpoint names and the tests. */

#define TENSORS_MAX 8192

struct tensor {
    char name[48];     /* "layers.3.attention.wq" */
    size_t offset;     /* floats from the start; multiple of 16 */
    size_t rows, cols; /* rows = 1 for vectors */
    bool decay;        /* weight decay applies: matrices; of embeddings, one tied to the output */
    bool adapter;      /* a factor of a change of a frozen matrix; checkpoints have it merged */
    float init;        /* standard deviation of the initial normal; 0: zeros; -1: ones */
};

struct model {
    ModelConfig config; /* resolved: no zero left that means "derive"; a value, not heap */
    size_t head_size;   /* width / heads, unless it is given */
    struct tensor *tensors;
    size_t n_tensors;
    size_t n_params;  /* floats in `params`, padding included (always zero) */
    size_t frozen;    /* floats at the front of `params` that are not trained; 0 without adapters */
    float *params;    /* frozen matrices as their adapters change them: W + alpha / rank x B A */
    float *base;      /* the layers' frozen tensors, without that; NULL without adapters */
    struct id origin; /* the checkpoint that they are of */
    RewardReport *reward_report; /* borrowed; model_save writes it, model_load does not read it */
    struct id tokenizer;
    double reward_bias, reward_scale; /* scalar heads: score = (raw - bias) x scale */
    CurvePoint **curve; /* borrowed; model_save writes it, model_load does not read it */
    size_t n_curve;
};

/* Checks and resolves a configuration (heads divide width, even head size, …). vocab_size must be
 * known. E_INPUT says which field. */
int model_config_check(ModelConfig *c, struct err *e);

/* By how much the pair (i, i + 1) of a head turns from one position to the next, in radians. */
double rope_frequency(const ModelConfig *c, size_t i);

size_t model_floats(const ModelConfig *c); /* n_params of a checked configuration */
struct model_size {
    size_t params, frozen, base; /* floats */
};
struct model_size model_size(const ModelConfig *c);
size_t model_largest(const ModelConfig *c); /* floats of its largest tensor */

int model_new(struct model **out, const ModelConfig *c, struct err *e); /* zero weights */
/* GPT-2's: N(0, .02), residual projections / sqrt(2 layers) */
void model_init(struct model *m, uint64_t seed);
void model_free(struct model *m);
int model_copy(struct model **out, const struct model *m, struct err *e);

/* A reward or value model made of a language model: same body, scalar head N(0, 1/sqrt(d+1)),
 * zero bias (Stiennon et al. 2020). */
int model_with_scalar_head(
    struct model **out, const struct model *body, uint64_t seed, struct err *e);
/* A policy that is its own critic: the language model, and such a head beside its own. */
int model_with_value_head(
    struct model **out, const struct model *body, uint64_t seed, struct err *e);
/* The language model alone; its weights are borrowed from m. */
struct model model_without_value_head(const struct model *m);

/* The same model with adapters that change nothing yet: of each target A is random, B zero (Hu et
 * al. 2021, sec. 4.1). What was there is frozen, but for a scalar or value head. E_INPUT says which
 * field of lora does not suit the model. To be followed by model_freeze. */
int model_with_adapters(struct model **out, const struct model *body, const LoraConfig *lora,
    uint64_t seed, struct err *e);
/* The frozen tensors stand in params as they are in the checkpoint `origin`. */
void model_freeze(struct model *m, const struct id *origin);
/* Reads the frozen tensors. */
int model_load_frozen(struct model *m, struct store *s, const struct id *origin, struct err *e);
/* Makes the matrices what their adapters say, from the base: the same bits with any pool, or none
 * (NULL). Nothing to do without adapters. */
void model_merge(struct model *m, struct pool *pool);

/* Reads a checkpoint's weights; of a TRAINING_STATE those named prefix + name ("policy.", "value.":
 * the header holds a configuration for each). "": no prefix. */
int model_load(struct model **out, struct store *s, const struct id *checkpoint, const char *prefix,
    struct err *e);
/* What the header says of such a model and, unless NULL, of its tokenizer: no weights are read. */
int model_describe(ModelConfig *out, struct id *tokenizer, struct store *s,
    const struct id *checkpoint, const char *prefix, struct err *e);
/* A CHECKPOINT artifact. */
int model_save(
    Output **out, const struct model *m, struct store *s, const char *name, struct err *e);

const struct tensor *model_tensor(const struct model *m, const char *name); /* NULL: none */

#endif
