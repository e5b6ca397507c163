#include "tests/bench/orch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/state.h"

/* Rows about tasks: what is measured begins with the sending of a run, and ends when the client
 * has heard that it is over: unfolding, journal and status are in it. */

/* Every stage's model is never computed: the executor does nothing. */
#define MODEL "model: {layers: 1, width: 16, heads: 2, context: 128}"
#define HEAD                                                         \
    "name: bench\nseed: %d\ninputs: {corpus: bench.yaml}\nstages:\n" \
    "  vocabulary: {kind: tokenizer, text: corpus, vocab_size: 2%d}\n"

/* 1 + 1 + 2 tasks, each from the one before. */
static const char chained[] =
    HEAD "  base: {kind: pretrain, tokenizer: vocabulary, text: corpus, " MODEL
         ", encode_shards: 1, steps: 2, checkpoint_every: 1, held_out: 0.3%d}\n";
static const char chain[] =
    HEAD "  base: {kind: pretrain, tokenizer: vocabulary, text: corpus, " MODEL
         ", encode_shards: 1, steps: 1000, checkpoint_every: 1, held_out: 0.3%d}\n";
static const char one[] = HEAD;

/* So many jobs of 251 tasks. */
static char *many(int jobs)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    fputs(HEAD "  many:\n    kind: pretrain\n    tokenizer: vocabulary\n    text: corpus\n"
               "    " MODEL "\n    encode_shards: 250\n    steps: 1\n    matrix: {held_out: [",
        f);
    for (int i = 0; i < jobs; i++)
        fprintf(f, "%s0.%03d%%d", i ? ", " : "", 100 + i);
    fputs("]}\n", f);
    fclose(f);
    return text;
}

static int scene_of(struct orch *o, struct err *e)
{
    size_t tasks;
    double took;
    int rc = o->scene ? OK : scene_open(&o->scene, o->folder, e);

    /* Both executors are there afterwards. */
    return rc == OK ? scene_run(o->scene, chained, 1000, 4, &took, &tasks, e) : rc;
}

/* ---- no-op tasks each second ---- */

#define GROUP 64 /* results that share a commit */

/* Results as they are, put into the journal's own tables in groups, and nothing else done. */
static int journal_rate(double *out, const struct orch *o, struct err *e)
{
    char home[256];
    struct state *state = NULL;
    TaskAnswer a = TASK_ANSWER__INIT;
    Output output = OUTPUT__INIT, *outputs[] = { &output };
    struct id id = { { 0 } };
    int n = o->quick ? 40 : 200;

    snprintf(home, sizeof home, "%s/journal", o->folder);
    output.name = "tokens";
    output.has_id = true;
    output.id = (ProtobufCBinaryData){ sizeof id.b, id.b };
    a.n_outputs = 1;
    a.outputs = outputs;
    int rc = state_open(&state, home, true, e);
    double began = seconds();
    for (int i = 0; i < n && rc == OK; i++) {
        struct state_txn *t = NULL;
        rc = state_begin(&t, state, true, e);
        for (int k = 0; k < GROUP && rc == OK; k++) {
            sha256(&id, &id, sizeof id);
            rc = state_put(t, STATE_ANSWER, key_id(&id), &a.base, e);
        }
        if (rc == OK)
            rc = state_commit(t, e);
        else
            state_abort(t);
    }
    *out = n * GROUP / (seconds() - began);
    state_close(state);
    return rc;
}

int tasks_row(struct orch *o, struct figure *f, struct err *e)
{
    char *text = many(o->quick ? 20 : 80);
    size_t tasks = 0;
    double took = 0;
    int rc = text ? scene_of(o, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = journal_rate(&f->limit, o, e);
    if (rc == OK)
        rc = scene_run(o->scene, text, 2000, 1, &took, &tasks, e);
    free(text);
    f->value = (double)tasks / took;
    snprintf(
        f->note, sizeof f->note, "%zu tasks; limit: a journal alone, %d a commit", tasks, GROUP);
    return rc;
}

/* ---- time ---- */

int latency_row(struct orch *o, struct figure *f, struct err *e)
{
    double each[100];
    size_t n = o->quick ? 20 : 100, tasks;
    int rc = scene_of(o, e);

    for (size_t i = 0; i < n && rc == OK; i++)
        rc = scene_run(o->scene, one, 3000 + (int)i, 1, &each[i], &tasks, e);
    if (rc == OK)
        f->value = 1e3 * median(each, n);
    f->limit = 1e3 * (4 * o->limits.sync + 3 * o->limits.trip);
    snprintf(f->note, sizeof f->note, "median of %zu; limit: 2 commits + 3 trips", n);
    return rc;
}

int chain_row(struct orch *o, struct figure *f, struct err *e)
{
    size_t tasks = 1;
    double took = 0;
    int rc = scene_of(o, e);

    if (rc == OK)
        rc = scene_run(o->scene, chain, 4000, 1, &took, &tasks, e);
    f->value = 1e3 * took / (double)tasks;
    f->limit = 1e3 * (2 * o->limits.sync + 3 * o->limits.trip);
    snprintf(f->note, sizeof f->note, "%zu tasks; limit: 2 fdatasync + 3 trips", tasks);
    return rc;
}

int pipelines_row(struct orch *o, struct figure *f, struct err *e)
{
    size_t tasks = 0;
    double took = 0;
    int rc = scene_of(o, e);

    if (rc == OK)
        rc = scene_run(o->scene, chained, 5000, 100, &took, &tasks, e);
    f->value = 1e3 * took;
    f->limit = 1e3 * (10 * o->limits.sync + 12 * o->limits.trip);
    snprintf(f->note, sizeof f->note, "%zu tasks; limit: 5 commits + 12 trips", tasks);
    return rc;
}

/* ---- restart ---- */

/* Workers go on while the orchestrator is gone; what they then run was given by the one before. */
int restart_row(struct orch *o, struct figure *f, struct err *e)
{
    char *finished = many(40), *open = many(4);
    struct shared *sh;
    size_t tasks = 0;
    double took;
    int rc = scene_of(o, e);

    if (rc == OK)
        rc = scene_run(o->scene, finished, 6000, 1, &took, &tasks, e);
    if (rc == OK) {
        sh = o->scene->shared;
        atomic_store(&sh->hold, 1);
        rc = scene_submit(o->scene, open, 6001, e);
    }
    if (rc == OK) {
        unsigned long long before = atomic_load(&sh->epoch);
        usleep(1500000); /* the journal has heard what runs */
        scene_kill_orchestrator(o->scene);
        double began = seconds();
        rc = scene_start_orchestrator(o->scene, e);
        atomic_store(&sh->hold, 0);
        while (rc == OK && atomic_load(&sh->epoch) == before && seconds() < began + 30)
            usleep(200);
        f->value = 1e3 * (atomic_load(&sh->changed) - began);
    }
    snprintf(f->note, sizeof f->note, "%zu finished, 1000 open", tasks);
    free(finished);
    free(open);
    return rc;
}
