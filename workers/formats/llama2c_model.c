#include <stdio.h>
#include <string.h>

#include "workers/formats/model_import.h"
#include "workers/formats/tensor_source.h"
#include "workers/formats/tokenizer_file.h"

/* llama2.c's weights, version 0: seven int32 (dim, hidden, layers, heads, kv heads, vocabulary,
 * negative: the output is a tensor of its own; context), then float32 tensors, each for all layers
 * at once. */

enum { DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCABULARY, CONTEXT, NUMBERS };

struct cursor {
    const uint8_t *at;
    size_t left; /* bytes */
    struct err *e;
};

/* The next tensor goes to rows first … first + rows of ours (rows 0: all of it). */
static int take(struct cursor *c, struct model *m, const char *name, size_t first, size_t rows)
{
    const struct tensor *t = model_tensor(m, name);
    size_t n = t ? (rows ? rows : t->rows) * t->cols : 0;

    if (!t || c->left / 4 < n)
        return err_set(c->e, E_INPUT, "the file ends before '%s'", name);
    element_read(ELEMENT_F32, m->params + t->offset + first * t->cols, c->at, n);
    c->at += 4 * n;
    c->left -= 4 * n;
    return OK;
}

static int take_layers(
    struct cursor *c, struct model *m, const char *name, size_t first, size_t rows)
{
    char full[64];
    int rc = OK;

    for (unsigned layer = 0; rc == OK && layer < m->config.layers; layer++) {
        snprintf(full, sizeof full, "layers.%u.%s", layer, name);
        rc = take(c, m, full, first, rows);
    }
    return rc;
}

static int take_all(struct cursor *c, struct model *m)
{
    const size_t width = m->config.width, hidden = m->config.hidden;
    const size_t kv = m->config.kv_heads * m->head_size;
    const struct {
        const char *name;
        size_t first, rows;
    } tensors[] = {
        { "attention_norm.weight", 0, 0 },
        { "attention.wqkv", 0, width },
        { "attention.wqkv", width, kv },
        { "attention.wqkv", width + kv, kv },
        { "attention.wo", 0, 0 },
        { "feed_forward_norm.weight", 0, 0 },
        { "feed_forward.w_up", 0, hidden },
        { "feed_forward.w_down", 0, 0 },
        { "feed_forward.w_up", hidden, hidden },
    };
    int rc = take(c, m, "token_embedding", 0, 0);

    for (size_t i = 0; rc == OK && i < sizeof tensors / sizeof *tensors; i++)
        rc = take_layers(c, m, tensors[i].name, tensors[i].first, tensors[i].rows);
    return rc == OK ? take(c, m, "final_norm.weight", 0, 0) : rc;
}

/* Behind the norm stand the sines and cosines of RoPE, which are computed here. */
static int take_output(struct cursor *c, struct model *m, size_t context)
{
    size_t rope = 4 * context * m->head_size;

    if (m->config.tied_output)
        return OK;
    if (c->left < rope)
        return err_set(c->e, E_INPUT, "the file ends before its output");
    c->at += rope;
    c->left -= rope;
    return take(c, m, "output", 0, 0);
}

static int read_weights(
    struct imported *out, struct span file, const struct import_options *o, struct err *e)
{
    ModelConfig config = MODEL_CONFIG__INIT;
    int32_t numbers[NUMBERS];
    struct cursor c = { file.p, file.n, e };
    int rc;

    if (file.n < sizeof numbers)
        return err_set(e, E_INPUT, "the file is too short");
    for (int i = 0; i < NUMBERS; i++) {
        const uint8_t *p = c.at + 4 * i;
        numbers[i] = (int32_t)(p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24);
        if (numbers[i] <= 0 && (i != VOCABULARY || numbers[i] == 0 || numbers[i] == INT32_MIN))
            return err_set(e, E_INPUT, "this is no file of llama2.c, version 0");
    }
    c.at += sizeof numbers;
    c.left -= sizeof numbers;
    config.width = (uint32_t)numbers[DIM];
    config.hidden = (uint32_t)numbers[HIDDEN];
    config.layers = (uint32_t)numbers[LAYERS];
    config.heads = (uint32_t)numbers[HEADS];
    config.kv_heads = (uint32_t)numbers[KV_HEADS];
    config.context = (uint32_t)numbers[CONTEXT];
    config.tied_output = numbers[VOCABULARY] > 0;
    config.vocab_size =
        (uint32_t)(numbers[VOCABULARY] > 0 ? numbers[VOCABULARY] : -numbers[VOCABULARY]);
    context_cut(&config, o->context);
    rc = model_new_of(&out->model, &config, c.left, o, e);
    if (rc == OK)
        rc = take_all(&c, out->model);
    return rc == OK ? take_output(&c, out->model, (size_t)numbers[CONTEXT]) : rc;
}

int llama2c_import(struct imported *out, const struct named_file *files, size_t n,
    const struct import_options *o, struct err *e)
{
    const struct named_file *weights = NULL, *tokenizer = NULL;
    int rc;

    for (size_t i = 0; i < n; i++) {
        bool words = strncmp(files[i].name, "tok", 3) == 0;
        if (!name_ends(files[i].name, ".bin"))
            continue;
        if (words ? tokenizer != NULL : weights != NULL)
            return err_set(e, E_INPUT, "more than one .bin file of a kind");
        *(words ? &tokenizer : &weights) = &files[i];
    }
    if (!weights || !tokenizer)
        return err_set(e, E_INPUT, "llama2.c needs a .bin with weights and one named tok….bin");
    rc = read_weights(out, weights->bytes, o, e);
    if (rc != OK)
        return err_wrap(e, "%s", weights->name);
    rc = tokenizer_from_llama2c(&out->tokenizer, tokenizer->bytes, e);
    return rc == OK ? OK : err_wrap(e, "%s", tokenizer->name);
}
