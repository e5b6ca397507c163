#include "workers/formats/hf_export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "workers/formats/chat_text.h"
#include "workers/formats/hf_config.h"
#include "workers/formats/naming.h"
#include "workers/formats/output_file.h"
#include "workers/formats/safetensors.h"
#include "workers/formats/tokenizer_json_write.h"

struct writing {
    const struct model *m;
    const TokenizerModel *t;
    const char *folder;
    enum element type;
    struct err *e;
};

static const char *type_word(enum element type)
{
    return type == ELEMENT_F16 ? "float16" : type == ELEMENT_BF16 ? "bfloat16" : "float32";
}

/* ---- the texts ---- */

static int text_config(struct buf *out, const struct writing *w)
{
    return hf_config_write(out, w->m, w->t, type_word(w->type), w->e);
}

/* Both ends stop an answer. */
static int text_generation(struct buf *out, const struct writing *w)
{
    uint32_t start = w->t->has_start ? w->t->start : w->t->end_of_text;

    return buf_printf(out,
        "{\n  \"bos_token_id\": %u,\n  \"eos_token_id\": [%u, %u],\n  \"pad_token_id\": %u\n}\n",
        start, w->t->end_of_answer, w->t->end_of_text, w->t->pad);
}

static int text_tokenizer(struct buf *out, const struct writing *w)
{
    return tokenizer_json_write(out, w->t, w->e);
}

static int text_tokenizer_config(struct buf *out, const struct writing *w)
{
    return tokenizer_config_write(out, w->t, w->m->config.context, w->e);
}

static int text_template(struct buf *out, const struct writing *w)
{
    return chat_jinja(out, w->t);
}

static const struct {
    const char *name;
    int (*write)(struct buf *out, const struct writing *w);
} texts[] = {
    { "config.json", text_config },
    { "generation_config.json", text_generation },
    { "tokenizer.json", text_tokenizer },
    { "tokenizer_config.json", text_tokenizer_config },
    { "chat_template.jinja", text_template },
};

static int path_of(struct buf *out, const struct writing *w, const char *name)
{
    out->n = 0;
    return buf_printf(out, "%s/%s", w->folder, name) == OK
               ? OK
               : err_set(w->e, E_NOMEM, "out of memory");
}

static int write_text(const struct writing *w, size_t i)
{
    struct buf path = { 0 }, text = { 0 };
    struct output_file *f = NULL;
    int rc = path_of(&path, w, texts[i].name);

    if (rc == OK) {
        rc = texts[i].write(&text, w);
        if (rc != OK && w->e->code == OK)
            err_set(w->e, rc, "no memory for %s", texts[i].name);
    }
    if (rc == OK)
        rc = output_create(&f, path.p, w->e);
    if (rc == OK)
        rc = output_write(f, text.p, text.n, w->e);
    if (rc == OK)
        rc = output_commit(f, w->e);
    else
        output_abort(f);
    buf_free(&path);
    buf_free(&text);
    return rc;
}

/* ---- the tensors ---- */

static enum scheme scheme_of(const ModelConfig *c)
{
    return c->family == MODEL_CONFIG__FAMILY__GPT2 ? HF_GPT2 : HF_LLAMA;
}

static void declare_tensors(struct safetensors_writer *out, const struct writing *w)
{
    const struct tensor *score = model_tensor(w->m, "score.weight");
    struct foreign f;

    for (size_t at = 0; naming_next(&f, w->m, scheme_of(&w->m->config), &at);) {
        if (f.vector)
            safetensors_tensor(out, f.name, w->type, 0, f.rows);
        else
            safetensors_tensor(
                out, f.name, w->type, f.transpose ? f.cols : f.rows, f.transpose ? f.rows : f.cols);
    }
    if (score)
        safetensors_tensor(out, "score.weight", w->type, 1, score->cols);
}

static int put_tensors(struct safetensors_writer *out, const struct writing *w, float *room)
{
    const struct tensor *score = model_tensor(w->m, "score.weight");
    struct foreign f;
    int rc = OK;

    for (size_t at = 0; rc == OK && naming_next(&f, w->m, scheme_of(&w->m->config), &at);) {
        foreign_gather(room, w->m, &f);
        rc = safetensors_put(out, room, f.rows * f.cols, w->e);
    }
    for (size_t i = 0; score && i < score->cols; i++)
        room[i] = (float)(w->m->reward_scale * (double)w->m->params[score->offset + i]);
    return rc == OK && score ? safetensors_put(out, room, score->cols, w->e) : rc;
}

static int write_tensors(const struct writing *w)
{
    struct safetensors_writer *out = NULL;
    struct buf path = { 0 };
    float *room = malloc(model_largest(&w->m->config) * sizeof *room);
    int rc = room ? path_of(&path, w, "model.safetensors")
                  : err_set(w->e, E_NOMEM, "no memory for the tensors");

    if (rc == OK)
        rc = safetensors_create(&out, path.p, w->e);
    if (rc == OK) {
        declare_tensors(out, w);
        rc = put_tensors(out, w, room);
    }
    if (rc == OK)
        rc = safetensors_commit(out, w->e);
    else
        safetensors_abort(out);
    buf_free(&path);
    free(room);
    return rc;
}

int hf_export(const struct model *m, const TokenizerModel *t, const char *path, enum element type,
    struct err *e)
{
    const struct writing w = { m, t, path, type, e };
    int rc = OK;

    if (type == ELEMENT_Q8_0)
        return err_set(e, E_INPUT, "q8_0 is GGUF's: f32, f16 and bf16 can be written here");
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return err_errno(e, "%s", path);
    for (size_t i = 0; rc == OK && i < sizeof texts / sizeof *texts; i++)
        rc = write_text(&w, i);
    return rc == OK ? write_tensors(&w) : rc;
}
