#include "workers/tasks/run.h"

#include <stdlib.h>
#include <string.h>

#include "workers/formats/chat_text.h"
#include "workers/tasks/folder.h"
#include "workers/text/documents.h"
#include "workers/text/tokenizer.h"

static int add_document(void *ctx, const char *text, size_t n, struct err *e)
{
    return tokenizer_trainer_add(ctx, text, n, e);
}

static int learn(struct answer *out, TokenizerModel **m, const struct task_context *c,
    const TaskSpec *spec, struct err *e)
{
    struct tokenizer_trainer *t = NULL;
    struct intake *im = NULL;
    size_t n = task_inputs(spec, "text", NULL, 0);
    struct id *ids = calloc(n + 1, sizeof *ids);
    int rc = ids ? intake_new(&im, e) : err_set(e, E_NOMEM, "no memory");

    if (rc == OK)
        rc = tokenizer_trainer_new(&t, spec->tokenizer->split, pool_threads(c->engine->pool), e);
    if (rc == OK) {
        task_inputs(spec, "text", ids, n);
        for (size_t i = 0; i < n && rc == OK; i++)
            rc = documents_each(im, c->store, &ids[i], add_document, t, e);
        int end = tokenizer_trainer_finish(t, m, spec->tokenizer->vocab_size,
            spec->tokenizer->template_, rc == OK ? e : &ERR_INIT);
        rc = rc == OK ? end : rc;
    }
    if (rc == OK)
        rc = answer_intake(out, im, e);
    intake_free(im);
    free(ids);
    return rc;
}

/* Of another program, with its own template where plain is asked for. */
static int read_other(TokenizerModel **m, const struct task_context *c, const TaskSpec *spec,
    const struct id *files, struct err *e)
{
    const char *template = spec->tokenizer->template_;
    struct folder f = { 0 };
    struct imported i = { 0 };
    struct tokenizer *t = NULL;
    int rc = folder_list(&f, c->store, files, e);

    if (rc == OK)
        rc = folder_read(&f, c->store, files, e);
    if (rc == OK)
        rc = tokenizer_import(&i, f.files, f.n, spec->tokenizer->split, e);
    if (rc == OK && template && strcmp(template, "plain") != 0)
        rc = chat_choose(i.tokenizer, template, e);
    if (rc == OK) /* checks it */
        rc = tokenizer_new(&t, i.tokenizer, e);
    tokenizer_free(t);
    folder_free(&f);
    *m = i.tokenizer;
    return rc;
}

int tokenizer_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    TokenizerModel *m = NULL;
    Output *o = NULL;
    struct id files;
    int rc = task_inputs(spec, "files", &files, 1) == 1 ? read_other(&m, c, spec, &files, e)
                                                        : learn(out, &m, c, spec, e);

    if (rc == OK)
        rc = tokenizer_save(&o, m, c->store, e);
    if (rc == OK)
        rc = answer_output(out, o, e);
    if (rc == OK)
        rc = answer_metric(out, "tokens", (double)m->n_tokens, e);
    message_free(m);
    return rc;
}
