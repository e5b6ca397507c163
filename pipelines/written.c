#include <string.h>

#include "pipelines/draft.h"
#include "pipelines/fields.h"

/* What is written to no effect: a field beside what decides instead of it. */

static const char *input_path(const Pipeline *p, const char *name)
{
    for (size_t i = 0; i < p->n_inputs; i++)
        if (strcmp(p->inputs[i]->name, name) == 0)
            return p->inputs[i]->path;
    return "";
}

/* A file that says its split itself: a folder may have a .tiktoken, which does not. */
static bool says_split(const char *path)
{
    static const char *const endings[] = { ".json", ".gguf", ".bin" };
    size_t n = strlen(path);

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (n > 5 && strcmp(path + n - strlen(endings[i]), endings[i]) == 0)
            return true;
    return false;
}

/* In the stage, or as an axis of its matrix. */
static void refuse_written(struct mistakes *m, const Pipeline *p, uint32_t stage, const char *key,
    bool written, const char *help, const char *what)
{
    const Stage *s = p->stages[stage];
    struct site at = site_of(SITE_STAGE, stage, key);
    struct site axis = site_key(site_of(SITE_STAGE, stage, "matrix"), key);

    axis.of_key = true;
    if (written)
        mistake_add(m, &at, help, "%s", what);
    for (size_t i = 0; i < s->n_matrix; i++)
        if (strcmp(s->matrix[i]->name, key) == 0)
            mistake_add(m, &axis, help, "%s", what);
}

static void check_read_tokenizer(struct mistakes *m, const Pipeline *p, uint32_t stage)
{
    const TokenizerStage *t = p->stages[stage]->tokenizer;
    struct site template = site_of(SITE_STAGE, stage, "template");
    bool plain = field_given(&t->base, "template") && strcmp(t->template_, "plain") == 0;

    refuse_written(m, p, stage, "vocab_size", field_given(&t->base, "vocab_size"),
        "leave 'vocab_size' out: `jielong import --inspect` says how many there are",
        "a tokenizer that is read from 'files' has as many tokens as they say");
    if (says_split(input_path(p, t->files)))
        refuse_written(m, p, stage, "split", field_given(&t->base, "split"),
            "leave 'split' out: only .tiktoken files need it",
            "a tokenizer that is read from 'files' cuts text as they say");
    if (plain)
        mistake_add(m, &template, "leave 'template' out: it is plain where the files have none",
            "a tokenizer that is read from 'files' has their chat template");
}

void check_written(const Pipeline *p, struct mistakes *m)
{
    for (uint32_t i = 0; i < p->n_stages; i++)
        if (p->stages[i]->kind_case == STAGE__KIND_TOKENIZER && p->stages[i]->tokenizer->files)
            check_read_tokenizer(m, p, i);
}
