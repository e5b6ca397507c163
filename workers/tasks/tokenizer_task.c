#include "workers/tasks/run.h"

#include <stdlib.h>

#include "workers/text/documents.h"
#include "workers/text/tokenizer.h"

static int add_document(void *ctx, const char *text, size_t n, struct err *e)
{
    return tokenizer_trainer_add(ctx, text, n, e);
}

int tokenizer_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct tokenizer_trainer *t = NULL;
    struct intake *im = NULL;
    TokenizerModel *m = NULL;
    Output *o = NULL;
    size_t n = task_inputs(spec, "text", NULL, 0);
    struct id *ids = calloc(n + 1, sizeof *ids);
    int rc = ids ? intake_new(&im, e) : err_set(e, E_NOMEM, "no memory");

    if (rc == OK)
        rc = tokenizer_trainer_new(&t, spec->tokenizer->split, pool_threads(c->engine->pool), e);
    if (rc == OK) {
        task_inputs(spec, "text", ids, n);
        for (size_t i = 0; i < n && rc == OK; i++)
            rc = documents_each(im, c->store, &ids[i], add_document, t, e);
        int end = tokenizer_trainer_finish(t, &m, spec->tokenizer->vocab_size,
            spec->tokenizer->template_, rc == OK ? e : &ERR_INIT);
        rc = rc == OK ? end : rc;
    }
    if (rc == OK)
        rc = tokenizer_save(&o, m, c->store, e);
    if (rc == OK)
        rc = answer_output(out, o, e);
    if (rc == OK)
        rc = answer_metric(out, "tokens", (double)m->n_tokens, e);
    if (rc == OK)
        rc = answer_intake(out, im, e);
    intake_free(im);
    message_free(m);
    free(ids);
    return rc;
}
