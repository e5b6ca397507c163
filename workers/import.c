#include "workers/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "proto/options.h"
#include "store/checkpoint.h"
#include "workers/generate.h"
#include "workers/import_model.h"
#include "workers/import_print.h"
#include "workers/text/inspect.h"
#include "workers/text/template.h"
#include "workers/usage.h"

/* What is typed. */
struct typed {
    const char *home, *artifact, *as, *split, *encoding, *template;
    struct option_texts fields;
    bool inspect, json, help;
    char names[OPTION_TEXTS_MAX][64]; /* of fields, without what they are called */
};

static const struct usage usage = {
    .name = "import",
    .operands = "--inspect FILE… [OPTIONS]",
    .about =
        "Says what files or folders hold, as a stage would read them: shape, counts,\n"
        "languages, lengths, ties, duplicates, what is wrong with which line, and the\n"
        "first three records as the model will see them; ⟦ ⟧ is what is learnt.\n"
        "Of a model (a .gguf file, a folder with config.json or llama2.c's tok….bin), or of a\n"
        "tokenizer alone (tokenizer.json, .tiktoken, …): what the stage `import` or `tokenizer`\n"
        "reads.\n"
        "Exit code 65: a stage would stop at what is wrong, or at nothing that it can use.\n",
    .more = "  --tokenizer [RUN/]STAGE   counts tokens with what a stage has made\n"
            "  --output table|json       for people, or for programs\n"
            "  --home DIR                where state and store lie\n",
};

/* ---- options → how to read ---- */

static int find_word(int *out, const ProtobufCEnumDescriptor *type, const char *option,
    const char *word, struct err *e)
{
    for (unsigned i = 0; i < type->n_values; i++) {
        if (strcasecmp(type->values[i].name, word) == 0) {
            *out = type->values[i].value;
            return OK;
        }
    }
    return err_set(e, E_INPUT, "--%s: there is no '%s'", option, word);
}

/* --field prompt=question */
static int add_field(Format *format, struct typed *t, size_t i, struct err *e)
{
    const char *text = t->fields.items[i], *is = strchr(text, '=');
    const ProtobufCFieldDescriptor *f = NULL;

    if (is && (size_t)(is - text) < sizeof t->names[i]) {
        memcpy(t->names[i], text, (size_t)(is - text));
        f = protobuf_c_message_descriptor_get_field_by_name(&format__descriptor, t->names[i]);
    }
    if (!f || !is[1])
        return err_set(e, E_INPUT, "--field: '%s' is no FIELD=NAME with a field of `format`", text);
    *(const char **)((char *)format + f->offset) = is + 1;
    return OK;
}

static int read_how(Reading *how, Format *format, struct typed *t, struct err *e)
{
    int value, rc = OK;

    how->on_bad_record = READING__ON_BAD_RECORD__SKIP; /* to see all that is wrong */
    if (t->split && (rc = find_word(&value, &split__descriptor, "split", t->split, e)) == OK)
        how->split = (Split)value;
    if (rc == OK && t->encoding &&
        (rc = find_word(&value, &reading__encoding__descriptor, "encoding", t->encoding, e)) == OK)
        how->encoding = (Reading__Encoding)value;
    for (size_t i = 0; i < t->fields.n && rc == OK; i++)
        rc = add_field(format, t, i, e);
    how->format = t->fields.n > 0 ? format : NULL;
    return rc;
}

/* A tokenizer, or a model's. */
static int load_tokenizer(
    struct tokenizer **out, struct store **s, const struct typed *t, struct err *e)
{
    struct checkpoint_reader *r = NULL;
    Manifest *m = NULL;
    struct id id;
    int rc = store_open(s, t->home, false, e);

    if (rc == OK && !id_parse(&id, t->artifact))
        rc = err_set(e, E_INPUT, "--artifact: no id");
    if (rc == OK)
        rc = store_manifest(&m, *s, &id, e);
    if (rc == OK && m->kind == ARTIFACT_KIND__CHECKPOINT) {
        rc = checkpoint_open(&r, *s, &id, e);
        if (rc == OK && !id_from_span(&id, checkpoint_header(r)->tokenizer.data,
                            checkpoint_header(r)->tokenizer.len))
            rc = err_set(e, E_CORRUPT, "the model does not say its tokenizer");
        checkpoint_close(r);
    }
    if (rc == OK)
        rc = tokenizer_load(out, *s, &id, e);
    message_free(m);
    return rc;
}

static int choose_template(
    struct inspect_options *o, const char *name, struct buf *end, struct err *e)
{
    const TokenizerModel *m = o->tokenizer && !name ? tokenizer_model(o->tokenizer) : NULL;

    name = name ? name : "chatml";
    o->template_ = m ? m->template_ : template_named(name);
    if (!o->template_)
        return err_set(e, E_INPUT, "--template: there is no '%s'", name);
    if (template_check(o->template_, e) != OK)
        return err_wrap(e, "--template chooses one to see; the model's:");
    if (!m) {
        o->end_of_answer = template_end_of_answer(name);
        return OK;
    }
    if (buf_add(end, m->tokens[m->end_of_answer].data, m->tokens[m->end_of_answer].len) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    o->end_of_answer = end->p;
    return OK;
}

/* ---- the files ---- */

/* At what is wrong, or at nothing. */
static bool would_stop(const Inspected *all)
{
    for (size_t i = 0; i < all->n_inputs; i++)
        if (all->inputs[i]->n_problems > 0 || all->inputs[i]->items == 0)
            return true;
    return false;
}

static int inspect_all(
    Inspected *all, char **paths, size_t n, const struct inspect_options *o, struct err *e)
{
    int rc = OK;

    all->inputs = calloc(n, sizeof *all->inputs);
    if (!all->inputs)
        return err_set(e, E_NOMEM, "out of memory");
    for (; all->n_inputs < n && rc == OK; all->n_inputs += rc == OK)
        rc = inspect_path(&all->inputs[all->n_inputs], paths[all->n_inputs], o, e);
    return rc;
}

static int print(const Inspected *all, bool json, struct err *e)
{
    struct buf out = { 0 };
    int rc = OK;

    if (json) {
        rc = json_message(&out, &all->base, true);
        if (rc == OK)
            rc = buf_add(&out, "\n", 1);
    } else {
        for (size_t i = 0; i < all->n_inputs && rc == OK; i++)
            rc = import_table(&out, all->inputs[i]);
    }
    if (rc != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    else if (fwrite(out.p, 1, out.n, stdout) != out.n)
        rc = err_errno(e, "writing");
    buf_free(&out);
    return rc;
}

static int run(struct typed *t, char **paths, size_t n)
{
    Reading how = READING__INIT;
    Format format = FORMAT__INIT;
    Inspected all = INSPECTED__INIT;
    struct inspect_options o = { .how = &how, .as = t->as };
    struct tokenizer *tokenizer = NULL;
    struct store *s = NULL;
    struct buf end = { 0 };
    struct err e = ERR_INIT;
    int rc = read_how(&how, &format, t, &e);

    if (rc == OK && t->artifact)
        rc = load_tokenizer(&tokenizer, &s, t, &e);
    o.tokenizer = tokenizer;
    if (rc == OK)
        rc = choose_template(&o, t->template, &end, &e);
    all.has_schema = true;
    if (rc == OK)
        rc = inspect_all(&all, paths, n, &o, &e);
    if (rc == OK)
        rc = print(&all, t->json, &e);
    bool stops = rc == OK && would_stop(&all);
    for (size_t i = 0; i < all.n_inputs; i++)
        message_free(all.inputs[i]);
    free(all.inputs);
    buf_free(&end);
    tokenizer_free(tokenizer);
    store_close(s);
    if (rc != OK)
        fprintf(stderr, "error: %s\n", e.msg);
    return rc != OK ? exit_code(rc) : stops ? 65 : 0;
}

int import_main(int argc, char **argv)
{
    static struct typed t;
    const struct option_row rows[] = {
        { "inspect", 0, OPTION_FLAG, &t.inspect, NULL, "say what the files hold, import nothing", 0,
            0, NULL },
        { "as", 0, OPTION_TEXT, &t.as, "WHAT",
            "text, demonstrations, rankings or prompts (default: what their first record is)", 0, 0,
            NULL },
        { "split", 0, OPTION_TEXT, &t.split, "HOW",
            "text: a document for each file (default), line or paragraph", 0, 0, NULL },
        { "encoding", 0, OPTION_TEXT, &t.encoding, "NAME",
            "gbk, gb18030, big5, shift_jis, … (default: detect)", 0, 0, NULL },
        { "field", 0, OPTION_TEXTS, &t.fields, "FIELD=NAME",
            "as `format` in a pipeline: --field prompt=question --field answer=reply", 0, 0, NULL },
        { "template", 0, OPTION_TEXT, &t.template, "NAME",
            "records are shown in plain, chatml (default) or llama3", 0, 0, NULL },
        { "home", 0, OPTION_TEXT, &t.home, "DIR", NULL, 0, 0, NULL },
        { "artifact", 0, OPTION_TEXT, &t.artifact, "ID", NULL, 0, 0, NULL },
        { "json", 0, OPTION_FLAG, &t.json, NULL, NULL, 0, 0, NULL },
        { "help", 'h', OPTION_FLAG, &t.help, NULL, NULL, 0, 0, NULL },
    };
    size_t n_rows = sizeof rows / sizeof *rows;
    struct err e = ERR_INIT;
    int n = argc - 1;

    int rc = options_read(rows, n_rows, argv + 1, &n, &e);
    if (t.help)
        return usage_help(&usage, rows, n_rows);
    if (rc != OK)
        return usage_bad(&usage, e.msg);
    if (!t.inspect)
        return usage_bad(&usage, "--inspect is missing: stages take files in by themselves");
    if (n == 0)
        return usage_bad(&usage, "no file is named");
    if (n == 1 && import_is_model(argv[1]))
        return import_model_inspect(argv[1], t.json);
    return run(&t, argv + 1, (size_t)n);
}
