#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/formats/model_import.h"
#include "workers/tasks/memory.h"
#include "workers/tasks/run.h"
#include "workers/text/tokenizer.h"

/* A folder's files, in memory. Their names are the last parts of their paths. */
struct folder {
    struct named_file *files;
    size_t n;
    uint64_t bytes, json; /* of all files; of those of JSON */
};

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- which files, and how large ---- */

static int count_bytes(size_t *n, struct files_reader *r, struct err *e)
{
    struct span part;
    int rc;

    for (*n = 0; (rc = files_part(r, &part, e)) == OK && part.n > 0;)
        *n += part.n;
    return rc;
}

static int list_file(struct folder *f, const char *path, struct files_reader *r, struct err *e)
{
    struct named_file *more = realloc(f->files, (f->n + 1) * sizeof *more);
    char *name = strdup(last_part(path));
    size_t n = 0;

    if (more)
        f->files = more;
    if (!more || !name) {
        free(name);
        return err_set(e, E_NOMEM, "out of memory");
    }
    int rc = count_bytes(&n, r, e);
    f->files[f->n++] = (struct named_file){ name, { NULL, n } };
    f->bytes += n;
    f->json += name_ends(name, ".json") ? n : 0;
    return rc;
}

static int list_files(struct folder *f, struct store *s, const struct id *id, struct err *e)
{
    struct files_reader *r = NULL;
    const char *path = NULL;
    int rc = files_open(&r, s, id, ARTIFACT_KIND__FILES, e);

    while (rc == OK && (rc = files_next(r, &path, e)) == OK && path) {
        if (!model_file_wanted(last_part(path))) /* would only take memory */
            continue;
        if (file_named(f->files, f->n, last_part(path)))
            rc = err_set(e, E_INPUT, "%s: another file has the same name", path);
        else
            rc = list_file(f, path, r, e);
    }
    files_close(r);
    return rc;
}

/* ---- their bytes ---- */

static int read_file(struct named_file *f, struct files_reader *r, struct err *e)
{
    char *bytes = malloc(f->bytes.n + 1);
    struct span part;
    size_t n = 0;
    int rc;

    if (!bytes)
        return err_set(e, E_NOMEM, "no memory for %s (%zu bytes)", f->name, f->bytes.n);
    f->bytes.p = bytes;
    while ((rc = files_part(r, &part, e)) == OK && part.n > 0) {
        if (part.n > f->bytes.n - n)
            return err_set(e, E_CORRUPT, "%s has more bytes than it had", f->name);
        memcpy(bytes + n, part.p, part.n);
        n += part.n;
    }
    return rc;
}

static int read_files(struct folder *f, struct store *s, const struct id *id, struct err *e)
{
    struct files_reader *r = NULL;
    const char *path = NULL;
    size_t at = 0;
    int rc = files_open(&r, s, id, ARTIFACT_KIND__FILES, e);

    while (rc == OK && (rc = files_next(r, &path, e)) == OK && path)
        if (model_file_wanted(last_part(path)))
            rc = read_file(&f->files[at++], r, e);
    files_close(r);
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

/* The model names its tokenizer by the artifact's id. */
static int save(struct answer *out, const struct task_context *c, struct imported *m, struct err *e)
{
    Output *tokenizer = NULL, *checkpoint = NULL;
    int rc = tokenizer_save(&tokenizer, m->tokenizer, c->store, e);

    if (rc == OK) {
        id_from_span(&m->model->tokenizer, tokenizer->id.data, tokenizer->id.len);
        rc = answer_output(out, tokenizer, e);
    }
    if (rc == OK)
        rc = model_save(&checkpoint, m->model, c->store, "checkpoint", e);
    return rc == OK ? answer_output(out, checkpoint, e) : rc;
}

/* Reading a tokenizer.json takes so many times its bytes (measured: 28 of one of 150,000 short
 * tokens, most of it the tree of its values). */
#define JSON_TREE 32

struct importing {
    const struct task_context *c;
    const struct folder *folder;
    struct memory_need need;
};

/* The files and the model are in memory at once; beside them a tensor that is read, then the tree
 * of the tokenizer's file. */
static int admit(void *ctx, const ModelConfig *c, struct err *e)
{
    struct importing *x = ctx;
    uint64_t tensor = model_largest(c) * sizeof(float), tree = JSON_TREE * x->folder->json;

    x->need.weights = model_floats(c) * sizeof(float);
    x->need.other = tensor > tree ? tensor : tree;
    return memory_check(&x->need, x->c->memory, e);
}

static int read_all(struct imported *out, const struct task_context *c, const TaskSpec *spec,
    struct importing *x, struct err *e)
{
    const char *template = spec->import->template_;
    const struct import_options o = { .context = spec->import->context,
        .template = template && *template ? template : NULL,
        .admit = admit,
        .ctx = x };
    struct folder f = { 0 };
    const char *what = NULL;
    struct id files;
    int rc = task_input(&files, spec, "files", e);

    x->folder = &f;
    if (rc == OK)
        rc = list_files(&f, c->store, &files, e);
    x->need.files = f.bytes;
    if (rc == OK)
        rc = memory_check(&x->need, c->memory, e);
    if (rc == OK)
        rc = read_files(&f, c->store, &files, e);
    if (rc == OK)
        rc = model_import(out, &what, f.files, f.n, &o, e);
    folder_free(&f);
    return rc;
}

int import_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct importing x = { .c = c, .need = { .what = "importing", .process = c->resident } };
    struct imported m = { 0 };
    struct tokenizer *t = NULL;
    int rc = read_all(&m, c, spec, &x, e);

    if (rc == OK) /* checks it */
        rc = tokenizer_new(&t, m.tokenizer, e);
    if (rc == OK)
        rc = save(out, c, &m, e);
    if (rc == OK)
        rc = answer_metric(out, "parameters", (double)m.model->n_params, e);
    if (rc == OK)
        rc = answer_metric(out, "context", m.model->config.context, e);
    if (rc == OK)
        rc = answer_metric(out, "memory_mib", (double)memory_total(&x.need) / (1 << 20), e);
    tokenizer_free(t);
    imported_free(&m);
    return rc;
}
