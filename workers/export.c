#include "workers/export.h"

#include <stdio.h>
#include <string.h>

#include "proto/options.h"
#include "workers/formats/gguf_model.h"
#include "workers/formats/hf_export.h"
#include "workers/generate.h"
#include "workers/tasks/memory.h"
#include "workers/text/tokenizer.h"
#include "workers/usage.h"

/* What is typed. */
struct typed {
    const char *home, *checkpoint, *name, *format, *type;
    bool help;
};

struct work {
    const struct model *model;
    const TokenizerModel *tokenizer;
    const char *path, *name;
    enum element type;
};

static int write_gguf(const struct work *w, struct err *e)
{
    return gguf_export(w->model, w->tokenizer, w->path, w->type, w->name, e);
}

static int write_hf(const struct work *w, struct err *e)
{
    return hf_export(w->model, w->tokenizer, w->path, w->type, e);
}

static const struct format {
    const char *name;
    int (*write)(const struct work *w, struct err *e);
} formats[] = {
    { "gguf", write_gguf },
    { "huggingface", write_hf },
};

static const struct format *format_named(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

/* The model, and a tensor as it is written. */
static int admit(struct store *s, const struct id *checkpoint, struct err *e)
{
    struct memory_need need = { .what = "exporting", .process = memory_resident() };
    ModelConfig c;
    int rc = model_describe(&c, NULL, s, checkpoint, "", e);

    if (rc != OK)
        return rc;
    memory_add_model(&need, &c);
    need.other = model_largest(&c) * sizeof(float);
    rc = memory_check(&need, memory_limit(""), e);
    if (rc == OK)
        usage_memory((double)memory_total(&need) / (1 << 20));
    return rc;
}

static int run(struct work *w, const struct format *f, const char *home,
    const struct id *checkpoint, struct err *e)
{
    struct store *s = NULL;
    struct model *m = NULL;
    struct tokenizer *t = NULL;
    int rc = store_open(&s, home, false, e);

    if (rc == OK)
        rc = admit(s, checkpoint, e);
    if (rc == OK)
        rc = model_load(&m, s, checkpoint, "", e);
    if (rc == OK)
        rc = tokenizer_load(&t, s, &m->tokenizer, e);
    if (rc == OK) {
        w->model = m;
        w->tokenizer = tokenizer_model(t);
        rc = f->write(w, e);
    }
    tokenizer_free(t);
    model_free(m);
    store_close(s);
    return rc;
}

static const struct usage usage = {
    .name = "export",
    .operands = "[RUN/]STAGE --format gguf|huggingface PATH",
    .about =
        "Writes the model that a stage has made, with its tokenizer and chat template, for\n"
        "llama.cpp and what is built on it (gguf: a file), or for transformers (huggingface: a\n"
        "folder). Nothing that is there is written over.\n",
    .more = "  --home DIR                where state and store lie\n",
};

int export_main(int argc, char **argv)
{
    struct typed t = { .name = "jielong", .format = "gguf", .type = "f32" };
    const struct option_row rows[] = {
        { "format", 'f', OPTION_TEXT, &t.format, "FORMAT", "gguf (default) or huggingface", 0, 0,
            NULL },
        { "type", 0, OPTION_TEXT, &t.type, "TYPE",
            "of the matrices' numbers: f32 (default), f16, bf16, q8_0", 0, 0, NULL },
        { "name", 0, OPTION_TEXT, &t.name, "NAME", "of the model, as other programs show it", 0, 0,
            NULL },
        { "home", 0, OPTION_TEXT, &t.home, "DIR", NULL, 0, 0, NULL },
        { "checkpoint", 0, OPTION_TEXT, &t.checkpoint, "ID", NULL, 0, 0, NULL },
        { "help", 'h', OPTION_FLAG, &t.help, NULL, NULL, 0, 0, NULL },
    };
    const size_t n_rows = sizeof rows / sizeof *rows;
    struct work w = { 0 };
    struct err e = ERR_INIT;
    struct id id;
    int n = argc - 1;

    int rc = options_read(rows, n_rows, argv + 1, &n, &e);
    if (t.help)
        return usage_help(&usage, rows, n_rows);
    if (rc != OK)
        return usage_bad(&usage, e.msg);
    const struct format *f = format_named(t.format);
    if (!f)
        return usage_bad(&usage, "--format: gguf and huggingface are known");
    if (!element_named(&w.type, t.type))
        return usage_bad(&usage, "--type: f32, f16, bf16 and q8_0 are known");
    if (!t.home || !t.checkpoint || !id_parse(&id, t.checkpoint) || n != 1)
        return usage_bad(&usage, "one model and one path are named");
    w.path = argv[1];
    w.name = t.name;
    if (run(&w, f, t.home, &id, &e) == OK)
        return 0;
    fprintf(stderr, "error: %s\n", e.msg);
    return exit_code(e.code);
}
