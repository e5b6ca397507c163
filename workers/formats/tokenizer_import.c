#include <string.h>

#include "workers/formats/model_import.h"
#include "workers/formats/tokenizer_file.h"

/* Tokenizers without a model. */

static const struct named_file *first_ending(
    const struct named_file *files, size_t n, const char *ending)
{
    for (size_t i = 0; i < n; i++)
        if (name_ends(files[i].name, ending))
            return &files[i];
    return NULL;
}

static int read_one(struct imported *out, const struct named_file *tiktoken,
    const struct named_file *llama2c, const char *split, struct err *e)
{
    const struct named_file *file = tiktoken ? tiktoken : llama2c;
    int rc = tiktoken ? tokenizer_from_tiktoken(&out->tokenizer, file->bytes, split, e)
                      : tokenizer_from_llama2c(&out->tokenizer, file->bytes, e);

    return rc == OK ? OK : err_wrap(e, "%s", file->name);
}

/* One that is not the default was asked for; a .tiktoken file has taken it. */
static int check_split(const TokenizerModel *m, const char *split, struct err *e)
{
    size_t n = strcspn(m->split, "/"); /* a version may follow */

    if (strcmp(split, "gpt-2") == 0 || (strlen(split) == n && memcmp(split, m->split, n) == 0))
        return OK;
    return err_set(
        e, E_INPUT, "split: '%s' is asked for, but the files cut text by '%s'", split, m->split);
}

int tokenizer_import(struct imported *out, const struct named_file *files, size_t n,
    const char *split, struct err *e)
{
    const struct named_file *tiktoken = first_ending(files, n, ".tiktoken");
    const struct named_file *llama2c = first_ending(files, n, ".bin");
    struct imported m = { 0 };
    int rc = files_check(files, n, e);

    if (rc != OK)
        return rc;
    if (first_ending(files, n, ".gguf")) {
        rc = gguf_tokenizer_import(&m, files, n, e);
    } else if (tiktoken || llama2c) {
        rc = read_one(&m, tiktoken, llama2c, split, e);
    } else if (n == 1 && name_ends(files[0].name, ".json")) { /* whatever it is called */
        const struct named_file json = { "tokenizer.json", files[0].bytes };
        rc = hf_tokenizer_import(&m, &json, 1, e);
        if (rc == E_INPUT)
            err_wrap(e, "%s", files[0].name);
    } else if (file_named(files, n, "tokenizer.json") || file_named(files, n, "vocab.json")) {
        rc = hf_tokenizer_import(&m, files, n, e);
    } else {
        rc = err_set(e, E_INPUT,
            "no tokenizer: neither tokenizer.json, nor vocab.json with merges.txt, nor a "
            ".tiktoken, "
            ".gguf or llama2.c's .bin file (SentencePiece's .model is not read)");
    }
    if (rc == OK)
        rc = check_split(m.tokenizer, split, e);
    if (rc == OK)
        *out = m;
    else
        imported_free(&m);
    return rc;
}
