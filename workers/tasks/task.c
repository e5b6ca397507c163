#include "workers/tasks/task.h"

#include "workers/tasks/run.h"

static const struct {
    const char *name;
    int (*run)(
        struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
} kinds[] = {
    [TASK_SPEC__KIND_TOKENIZER] = { "tokenizer", tokenizer_run },
    [TASK_SPEC__KIND_IMPORT] = { "import", import_run },
    [TASK_SPEC__KIND_ENCODE] = { "encode", encode_run },
    [TASK_SPEC__KIND_TRAIN] = { "train", train_run },
    [TASK_SPEC__KIND_GENERATE] = { "generate", generate_run },
    [TASK_SPEC__KIND_JOIN] = { "join", join_run },
    [TASK_SPEC__KIND_RANK] = { "rank", rank_run },
    [TASK_SPEC__KIND_CALIBRATE] = { "calibrate", calibrate_run },
    [TASK_SPEC__KIND_ROLLOUT] = { "rollout", rollout_run },
    [TASK_SPEC__KIND_SCORE] = { "score", score_run },
    [TASK_SPEC__KIND_REPORT] = { "report", report_run },
    [TASK_SPEC__KIND_REFERENCE] = { "reference", reference_run },
};

int task_input(struct id *out, const TaskSpec *spec, const char *name, struct err *e)
{
    if (task_inputs(spec, name, out, 1) == 1)
        return OK;
    return err_set(
        e, E_PROTOCOL, "a %s task needs the input '%s', once", message_kind(&spec->base), name);
}

int task_run(TaskAnswer **out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct answer a;
    size_t kind = (size_t)spec->kind_case;

    if (kind >= sizeof kinds / sizeof *kinds || !kinds[kind].run)
        return err_set(e, E_PROTOCOL, "a task of unknown kind %zu", kind);
    if (spec->engine != ENGINE_VERSION)
        return err_set(e, E_PROTOCOL, "the task is for engine %u, this is engine %d", spec->engine,
            ENGINE_VERSION);
    int rc = answer_init(&a, e);
    if (rc == OK)
        rc = kinds[kind].run(&a, c, spec, e);
    if (rc != OK) {
        answer_free(&a);
        return rc;
    }
    *out = a.m;
    return OK;
}
