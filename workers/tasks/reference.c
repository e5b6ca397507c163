#include "workers/tasks/run.h"

#include "store/records.h"
#include "workers/tasks/forward.h"
#include "workers/tasks/scorer.h"
#include "workers/tasks/warm.h"

/* What a model gives the answers of rankings, once for all steps of a training that is held to it.
 */

static int write_example(struct records_writer *w, struct forward *f, const struct model *m,
    Precision precision, RankingExample *x, struct err *e)
{
    double log_prob[RANKING_MAX];
    int rc = forward_ranked(f, x, e);

    if (rc == OK)
        rc = score_answers(log_prob, f->c, m, x, precision, e);

    for (size_t i = 0; i < x->n_rows && rc == OK; i++) {
        x->rows[i]->has_ref_log_prob = true;
        x->rows[i]->ref_log_prob = log_prob[i];
    }
    return rc == OK ? records_add(w, &x->base, e) : rc;
}

static int write_examples(struct records_writer *w, struct records_reader *r, struct forward *f,
    const struct model *m, Precision precision, struct err *e)
{
    int rc = OK;

    while (rc == OK) {
        ProtobufCMessage *x = NULL;
        rc = records_next(r, &x, e);
        if (rc != OK || !x)
            break;
        rc = write_example(w, f, m, precision, (RankingExample *)x, e);
        message_free(x);
    }
    return rc;
}

int reference_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct records_reader *r = NULL;
    struct records_writer *w = NULL;
    const struct model *m;
    struct id model, examples;
    struct forward f;
    Output *o = NULL;
    int rc = task_input(&model, spec, "model", e);

    if (rc == OK)
        rc = task_input(&examples, spec, "examples", e);
    forward_start(&f, c, "scoring rankings");
    if (rc == OK)
        rc = forward_model(&f, &model, "", e);
    if (rc == OK)
        rc = forward_admit(&f, e);
    if (rc == OK)
        rc = warm_model(&m, c, &model, "", e);
    if (rc == OK)
        rc = records_open(&r, c->store, &examples, ARTIFACT_KIND__RANKING_EXAMPLES,
            &ranking_example__descriptor, e);
    if (rc == OK)
        rc = records_create(&w, c->store, ARTIFACT_KIND__RANKING_EXAMPLES, e);
    if (rc == OK)
        rc = write_examples(w, r, &f, m, spec->reference->precision, e);
    records_close(r);
    if (rc == OK) {
        rc = records_commit(w, "examples", &o, e);
        w = NULL;
    }
    records_abort(w);
    if (rc == OK)
        rc = answer_output(out, o, e);
    return rc == OK ? forward_metric(&f, out, e) : rc;
}
