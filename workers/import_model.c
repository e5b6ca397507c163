#include "workers/import_model.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/json.h"
#include "workers/formats/model_import.h"
#include "workers/generate.h"
#include "workers/tasks/memory.h"
#include "workers/text/tokenizer.h"

#define FILE_MOST ((size_t)1 << 40)

struct folder {
    struct named_file *files;
    size_t n;
    struct memory_need need;
    uint64_t json; /* bytes of files of JSON */
};

static bool is_folder(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* A tokenizer of another program, by its name alone. */
static bool is_tokenizer(const char *name)
{
    return strcmp(name, "tokenizer.json") == 0 || name_ends(name, ".tiktoken") ||
           (strncmp(name, "tok", 3) == 0 && name_ends(name, ".bin"));
}

static bool is_part(const char *name)
{
    return is_tokenizer(name) || name_ends(name, ".gguf") || name_ends(name, ".safetensors") ||
           strcmp(name, "config.json") == 0 || strcmp(name, "merges.txt") == 0;
}

bool import_is_model(const char *path)
{
    DIR *d = is_folder(path) ? opendir(path) : NULL;
    bool found = d == NULL && (name_ends(path, ".gguf") || is_tokenizer(last_part(path)));

    for (struct dirent *one; d && !found && (one = readdir(d)) != NULL;)
        found = is_part(one->d_name);
    if (d)
        closedir(d);
    return found;
}

/* Refused before it is read, when it cannot fit. */
static int admit_file(struct folder *f, const char *path, struct err *e)
{
    struct stat s;

    if (stat(path, &s) != 0)
        return err_errno(e, "%s", path);
    f->need.files += (uint64_t)s.st_size;
    f->json += name_ends(path, ".json") ? (uint64_t)s.st_size : 0;
    return memory_check(&f->need, memory_limit(""), e);
}

static int admit_model(void *ctx, const ModelConfig *c, struct err *e)
{
    struct folder *f = ctx;

    memory_add_import(&f->need, c, f->json);
    return memory_check(&f->need, memory_limit(""), e);
}

static int add_file(struct folder *f, const char *path, const char *name, struct err *e)
{
    struct named_file *more = realloc(f->files, (f->n + 1) * sizeof *more);
    char *own = strdup(name), *bytes = NULL;
    size_t n = 0;
    int rc = more && own ? OK : err_set(e, E_NOMEM, "out of memory");

    if (more)
        f->files = more;
    if (rc == OK)
        rc = admit_file(f, path, e);
    if (rc == OK)
        rc = file_read(&bytes, &n, path, FILE_MOST, e);
    if (rc != OK) {
        free(own);
        return rc;
    }
    f->files[f->n++] = (struct named_file){ own, { bytes, n } };
    return OK;
}

static int read_folder(struct folder *f, const char *path, struct err *e)
{
    DIR *d = opendir(path);
    struct buf full = { 0 };
    int rc = d ? OK : err_errno(e, "%s", path);

    for (struct dirent *one; rc == OK && (one = readdir(d)) != NULL;) {
        if (!model_file_wanted(one->d_name))
            continue;
        full.n = 0;
        rc = buf_printf(&full, "%s/%s", path, one->d_name) == OK
                 ? add_file(f, full.p, one->d_name, e)
                 : err_set(e, E_NOMEM, "out of memory");
    }
    if (d)
        closedir(d);
    buf_free(&full);
    return rc;
}

static void folder_free(struct folder *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free((void *)(uintptr_t)f->files[i].name);
        free((void *)(uintptr_t)f->files[i].bytes.p);
    }
    free(f->files);
}

/* ---- what is said ---- */

static const char *family_word(const ModelConfig *c)
{
    return c->family == MODEL_CONFIG__FAMILY__GPT2 ? "gpt2" : "llama";
}

static const char *scaling_word(const ModelConfig *c)
{
    switch (c->rope_scaling) {
    case MODEL_CONFIG__ROPE_SCALING__LINEAR:
        return ", RoPE scaled (linear)";
    case MODEL_CONFIG__ROPE_SCALING__LLAMA3:
        return ", RoPE scaled (llama3)";
    case MODEL_CONFIG__ROPE_SCALING__NONE:
    case _MODEL_CONFIG__ROPE_SCALING_IS_INT_SIZE:
        break;
    }
    return "";
}

static const char *template_origin(const struct imported *m)
{
    if (m->tokenizer->template_->jinja)
        return ": the model's own, for which stages that converse need `template` at the import";
    if (m->own_template)
        return ", the model's own";
    return strcmp(m->tokenizer->template_->name, "plain") == 0
               ? ": the model has none"
               : ", by its special tokens: the model has none";
}

static int token_text(struct buf *out, const TokenizerModel *m, uint32_t id)
{
    return json_string(out, (const char *)m->tokens[id].data, m->tokens[id].len);
}

static int model_lines(struct buf *out, const struct model *m)
{
    const ModelConfig *c = &m->config;

    return buf_printf(out,
        "  family        %s%s%s%s\n  layers        %u, width %u, heads %u of %u (keys %u), "
        "hidden %u\n  context       %u%s\n  parameters    %.1f M (%.2f GiB as float32)\n",
        family_word(c), c->qkv_bias ? ", biases on q, k, v (Qwen2)" : "",
        c->qk_norm ? ", norms of q, k (Qwen3)" : "",
        c->scalar_head ? ", a scalar head: a reward model" : "", c->layers, c->width, c->heads,
        c->head_dim, c->kv_heads, c->hidden, c->context, scaling_word(c), (double)m->n_params / 1e6,
        (double)m->n_params * 4 / (1 << 30));
}

/* Of a tokenizer alone there is no model. */
static int table(struct buf *out, const char *path, const char *what, const struct imported *m)
{
    const TokenizerModel *t = m->tokenizer;
    size_t rows = m->model ? m->model->config.vocab_size : t->n_tokens;
    const struct {
        const char *word;
        uint32_t id;
    } roles[] = {
        { "begins with", t->has_start ? t->start : t->end_of_text },
        { "a text ends", t->end_of_text },
        { "answer ends", t->end_of_answer },
        { "padding", t->pad },
    };
    int rc = buf_printf(out, "%s: %s\n", path, what);

    if (rc == OK && m->model)
        rc = model_lines(out, m->model);
    if (rc == OK)
        rc = buf_printf(out,
            "  vocabulary    %zu rows, %zu tokens, %zu merges, split %s\n  chat template %s%s\n",
            rows, t->n_tokens, t->n_merges / 2, t->split, t->template_->name, template_origin(m));
    for (size_t i = 0; rc == OK && i < sizeof roles / sizeof *roles; i++) {
        rc = buf_printf(out, "  %-14s", roles[i].word);
        if (rc == OK)
            rc = token_text(out, t, roles[i].id);
        if (rc == OK)
            rc = buf_printf(out, " (%u)\n", roles[i].id);
    }
    return rc;
}

static int as_json(struct buf *out, const char *what, const struct imported *m)
{
    const TokenizerModel *t = m->tokenizer;
    int rc = buf_printf(out, "{\"schema\": 1, \"kind\": ");

    if (rc == OK)
        rc = json_string(out, what, strlen(what));
    if (rc == OK && m->model)
        rc = buf_printf(out, ", \"parameters\": %zu, \"model\": ", m->model->n_params);
    if (rc == OK && m->model)
        rc = json_message(out, &m->model->config.base, false);
    if (rc == OK)
        rc = buf_printf(out,
            ", \"tokenizer\": {\"tokens\": %zu, \"merges\": %zu, \"split\": \"%s\", "
            "\"template\": \"%s\", \"start\": %u, \"end_of_text\": %u, \"end_of_answer\": %u, "
            "\"pad\": %u}}\n",
            t->n_tokens, t->n_merges / 2, t->split, t->template_->name,
            t->has_start ? t->start : t->end_of_text, t->end_of_text, t->end_of_answer, t->pad);
    return rc;
}

/* A vocabulary may stand alone in such a file. */
static bool has_tensors(struct span gguf)
{
    struct gguf *g = NULL;
    bool has = gguf_open(&g, gguf, &ERR_INIT) != OK || gguf_tensors(g) > 0;

    gguf_free(g);
    return has;
}

static bool is_weights(const struct named_file *file)
{
    if (name_ends(file->name, ".gguf"))
        return has_tensors(file->bytes);
    return !is_tokenizer(file->name) &&
           (name_ends(file->name, ".safetensors") || name_ends(file->name, ".bin"));
}

/* No weights are among the files, nor what describes some. */
static bool is_alone(const struct folder *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->files[i].name, "config.json") == 0 || is_weights(&f->files[i]))
            return false;
    return true;
}

static int import_either(struct imported *m, const char **what, struct folder *f, struct err *e)
{
    const struct import_options o = { .admit = admit_model, .ctx = f };

    *what = "tokenizer";
    return is_alone(f) ? tokenizer_import(m, f->files, f->n, "gpt-2", e)
                       : model_import(m, what, f->files, f->n, &o, e);
}

int import_model_inspect(const char *path, bool json)
{
    const char *what = NULL;
    struct folder f = { .need = { .what = "reading it", .process = memory_resident() } };
    struct imported m = { 0 };
    struct tokenizer *t = NULL;
    struct buf out = { 0 };
    struct err e = ERR_INIT;
    int rc = is_folder(path) ? read_folder(&f, path, &e) : add_file(&f, path, last_part(path), &e);

    if (rc == OK)
        rc = import_either(&m, &what, &f, &e);
    folder_free(&f);
    if (rc == OK)
        rc = tokenizer_new(&t, m.tokenizer, &e);
    if (rc == OK) {
        rc = json ? as_json(&out, what, &m) : table(&out, path, what, &m);
        if (rc != OK)
            err_set(&e, rc, "out of memory");
    }
    if (rc == OK && fwrite(out.p, 1, out.n, stdout) != out.n)
        rc = err_errno(&e, "writing");
    if (rc != OK)
        fprintf(stderr, "error: %s: %s\n", path, e.msg);
    tokenizer_free(t);
    imported_free(&m);
    buf_free(&out);
    return exit_code(rc);
}
