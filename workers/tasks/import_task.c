#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/formats/model_import.h"
#include "workers/tasks/folder.h"
#include "workers/tasks/memory.h"
#include "workers/tasks/run.h"
#include "workers/text/tokenizer.h"

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

struct importing {
    const struct task_context *c;
    const struct folder *folder;
    struct memory_need need;
};

static int admit(void *ctx, const ModelConfig *c, struct err *e)
{
    struct importing *x = ctx;

    memory_add_import(&x->need, c, x->folder->json);
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
        rc = folder_list(&f, c->store, &files, e);
    x->need.files = f.bytes;
    if (rc == OK)
        rc = memory_check(&x->need, c->memory, e);
    if (rc == OK)
        rc = folder_read(&f, c->store, &files, e);
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
