#ifndef WORKERS_FORMATS_MODEL_IMPORT_H
#define WORKERS_FORMATS_MODEL_IMPORT_H

#include "workers/formats/gguf.h"
#include "workers/model/model.h"

/* Models of other programs. All is E_INPUT that is wrong with a file, or that is not known here:
 * nothing of a model is left out silently. */

struct named_file {
    const char *name; /* the last part of its path */
    struct span bytes;
};

struct imported {
    struct model *model;       /* its tokenizer's id is not set */
    TokenizerModel *tokenizer; /* freed by message_free */
    bool own_template;         /* the chat template is the one that came with the model */
};

struct import_options {
    uint32_t context;     /* longest sequence is cut to so many tokens; 0: the model's own */
    const char *template; /* name of a chat template; NULL: the model's own */
    /* Asked before the memory of a model is taken, with its configuration. NULL: nobody is. */
    int (*admit)(void *ctx, const ModelConfig *c, struct err *e);
    void *ctx;
};

void imported_free(struct imported *m);

/* The file of this name; NULL: none. */
const struct named_file *file_named(const struct named_file *files, size_t n, const char *name);

/* None of them stands for another that is elsewhere. */
int files_check(const struct named_file *files, size_t n, struct err *e);

/* A folder's files: one .gguf; or Hugging Face's (config.json, *.safetensors, tokenizer.json or
 * vocab.json and merges.txt; chat_template.jinja); or llama2.c's (a .bin with weights and
 * tokenizer.bin). *what: which kind it was; static memory. */
int model_import(struct imported *out, const char **what, const struct named_file *files, size_t n,
    const struct import_options *o, struct err *e);
/* A tokenizer alone, of such files or of one .tiktoken, whose split is `split`; out->model stays
 * NULL. */
int tokenizer_import(struct imported *out, const struct named_file *files, size_t n,
    const char *split, struct err *e);
/* Whether a file of this name can be part of a model, or a tokenizer. */
bool model_file_wanted(const char *name);

/* The three kinds. */
int gguf_import(struct imported *out, const struct named_file *files, size_t n,
    const struct import_options *o, struct err *e);
int hf_import(struct imported *out, const struct named_file *files, size_t n,
    const struct import_options *o, struct err *e);
int hf_tokenizer_import(
    struct imported *out, const struct named_file *files, size_t n, struct err *e);
int gguf_tokenizer_import(
    struct imported *out, const struct named_file *files, size_t n, struct err *e);
int llama2c_import(struct imported *out, const struct named_file *files, size_t n,
    const struct import_options *o, struct err *e);

/* Whether a file's name ends so. */
bool name_ends(const char *name, const char *ending);
/* Cuts the configuration's context. */
void context_cut(ModelConfig *c, uint32_t context);

#endif
