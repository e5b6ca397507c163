#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/formats/model_import.h"
#include "workers/tasks/run.h"
#include "workers/text/tokenizer.h"

/* A folder's files, in memory. Their names are the last parts of their paths. */
struct folder {
    struct named_file *files;
    size_t n;
};

/* What no model is read from would only take memory. */
static bool is_wanted(const char *name)
{
    static const char *const endings[] = { ".json", ".safetensors", ".gguf", ".bin", ".txt" };

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (name_ends(name, endings[i]))
            return true;
    return false;
}

static int take_file(void *ctx, const char *path, struct span bytes, struct err *e)
{
    struct folder *f = ctx;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    struct named_file *more;
    char *copy, *own;

    if (!is_wanted(name))
        return OK;
    if (file_named(f->files, f->n, name))
        return err_set(e, E_INPUT, "%s: another file has the same name", path);
    more = realloc(f->files, (f->n + 1) * sizeof *more);
    if (more)
        f->files = more;
    copy = malloc(bytes.n + 1);
    own = strdup(name);
    if (!more || !copy || !own) {
        free(copy);
        free(own);
        return err_set(e, E_NOMEM, "no memory for %s (%zu bytes)", path, bytes.n);
    }
    memcpy(copy, bytes.p, bytes.n);
    f->files[f->n++] = (struct named_file){ own, { copy, bytes.n } };
    return OK;
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

int import_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct folder f = { 0 };
    struct imported m = { 0 };
    struct tokenizer *t = NULL;
    const char *what = NULL;
    struct id files;
    int rc = task_input(&files, spec, "files", e);

    if (rc == OK)
        rc = files_each(c->store, &files, ARTIFACT_KIND__FILES, take_file, &f, e);
    if (rc == OK)
        rc = model_import(&m, &what, f.files, f.n, spec->import->context, e);
    folder_free(&f);
    if (rc == OK) /* checks it */
        rc = tokenizer_new(&t, m.tokenizer, e);
    if (rc == OK)
        rc = save(out, c, &m, e);
    if (rc == OK)
        rc = answer_metric(out, "parameters", (double)m.model->n_params, e);
    if (rc == OK)
        rc = answer_metric(out, "context", m.model->config.context, e);
    tokenizer_free(t);
    imported_free(&m);
    return rc;
}
