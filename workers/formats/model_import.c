#include "workers/formats/model_import.h"

#include <string.h>

#include "workers/formats/chat_text.h"

void imported_free(struct imported *m)
{
    model_free(m->model);
    if (m->tokenizer)
        message_free(m->tokenizer);
    *m = (struct imported){ 0 };
}

const struct named_file *file_named(const struct named_file *files, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(files[i].name, name) == 0)
            return &files[i];
    return NULL;
}

bool name_ends(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);

    return n >= m && strcmp(name + n - m, ending) == 0;
}

bool model_file_wanted(const char *name)
{
    static const char *const endings[] = { ".json", ".safetensors", ".gguf", ".bin", ".txt",
        ".jinja", ".tiktoken" };

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (name_ends(name, endings[i]))
            return true;
    return false;
}

void context_cut(ModelConfig *c, uint32_t context)
{
    if (context > 0 && c->context > context)
        c->context = context;
}

static bool any_ends(const struct named_file *files, size_t n, const char *ending)
{
    for (size_t i = 0; i < n; i++)
        if (name_ends(files[i].name, ending))
            return true;
    return false;
}

static bool is_gguf(const struct named_file *files, size_t n)
{
    return any_ends(files, n, ".gguf");
}

static bool is_hf(const struct named_file *files, size_t n)
{
    return file_named(files, n, "config.json") && any_ends(files, n, ".safetensors");
}

static bool is_llama2c(const struct named_file *files, size_t n)
{
    return any_ends(files, n, ".bin") && !file_named(files, n, "config.json");
}

static const struct {
    const char *what;
    bool (*is)(const struct named_file *files, size_t n);
    int (*read)(struct imported *out, const struct named_file *files, size_t n,
        const struct import_options *o, struct err *e);
} kinds[] = {
    { "Hugging Face folder", is_hf, hf_import },
    { "GGUF file", is_gguf, gguf_import },
    { "llama2.c weights", is_llama2c, llama2c_import },
};

static int check_vocabulary(const struct imported *m, struct err *e)
{
    if (m->tokenizer->n_tokens > m->model->config.vocab_size)
        return err_set(e, E_INPUT, "the tokenizer has %zu tokens, the model's embedding %u rows",
            m->tokenizer->n_tokens, m->model->config.vocab_size);
    return OK;
}

int files_check(const struct named_file *files, size_t n, struct err *e)
{
    static const char pointer[] = "version https://git-lfs.github.com/";
    const size_t length = sizeof pointer - 1;

    for (size_t i = 0; i < n; i++)
        if (files[i].bytes.n >= length && memcmp(files[i].bytes.p, pointer, length) == 0)
            return err_set(e, E_INPUT,
                "%s is a pointer of Git LFS: get the file itself (`git lfs pull`)", files[i].name);
    return OK;
}

int model_import(struct imported *out, const char **what, const struct named_file *files, size_t n,
    const struct import_options *o, struct err *e)
{
    struct imported m = { 0 };
    size_t i = 0;
    int rc;

    while (i < sizeof kinds / sizeof *kinds && !kinds[i].is(files, n))
        i++;
    if (i == sizeof kinds / sizeof *kinds)
        return err_set(e, E_INPUT,
            "no model: neither a .gguf file, nor config.json with .safetensors (a "
            "pytorch_model.bin is "
            "not read: save it as safetensors), nor llama2.c's .bin files");
    rc = files_check(files, n, e);
    if (rc == OK)
        rc = kinds[i].read(&m, files, n, o, e);
    if (rc == OK)
        rc = check_vocabulary(&m, e);
    if (rc == OK && o->template)
        rc = chat_choose(m.tokenizer, o->template, e);
    if (rc != OK) {
        imported_free(&m);
        return err_wrap(e, "%s", kinds[i].what);
    }
    *what = kinds[i].what;
    *out = m;
    return OK;
}
