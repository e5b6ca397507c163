#include "proto/wire_int.h"

/* Limits of the edge: wide enough for every sensible use, narrow enough that what is inside
 * needs no checks against overflow. The narrower ranges of configurations stand in pipelines/. */
#define NAME 64       /* bytes */
#define LONG_NAME 256 /* of jobs: a stage with its matrix values; of runs, hosts, states, urls */
#define PATH 4096
#define LINE 16384 /* of a log */
#define ITEMS 65536
#define DIM 1048576 /* layers, width, context, shards, … */
#define SECONDS 1e12

#define NEED(message, field)                       \
    {                                              \
        &message##__descriptor, #field, true, 0, 0 \
    }
#define NEED_TO(message, field, least, most)              \
    {                                                     \
        &message##__descriptor, #field, true, least, most \
    }
#define UP_TO(message, field, least, most)                 \
    {                                                      \
        &message##__descriptor, #field, false, least, most \
    }

const struct rule wire_rules[] = {
    /* clients */
    NEED(submit, pipeline),
    UP_TO(submit, file, 0, PATH),
    NEED_TO(taken_input, name, 1, NAME),
    NEED(taken_input, artifact),
    NEED_TO(named_rubric, path, 1, PATH),
    NEED(named_rubric, rubric),
    NEED_TO(submitted, run, 1, LONG_NAME),
    UP_TO(status_request, run, 0, LONG_NAME),
    UP_TO(status_request, wait, 0, 3600),
    UP_TO(logs_request, run, 0, LONG_NAME),
    UP_TO(logs_request, job, 0, LONG_NAME),
    UP_TO(logs_request, tail, 0, 10000000),
    NEED(control, verb),
    UP_TO(control, run, 0, LONG_NAME),
    UP_TO(control, job, 0, LONG_NAME),
    UP_TO(control, worker, 0, LONG_NAME),
    NEED_TO(refused, code, 0, 255),
    NEED(refused, message),
    NEED_TO(parcel, items, 1, ITEMS),
    NEED(parcel_item, id),
    NEED(parcel_item, kind),
    NEED_TO(parcel_item, name, 1, LONG_NAME),
    NEED(known_job, key),
    NEED(known_job, answer),
    NEED_TO(job_answer, outputs, 1, ITEMS),
    NEED_TO(labels, run, 1, LONG_NAME),
    NEED_TO(labels, job, 1, LONG_NAME),

    /* pipelines: the names that everything else is found by */
    NEED_TO(pipeline, name, 1, NAME),
    NEED_TO(input, name, 1, NAME),
    NEED_TO(input, path, 0, PATH),
    NEED_TO(stage, name, 1, LONG_NAME),
    UP_TO(stage, retries, 0, 1000),
    UP_TO(stage, audit, 0, 1),
    UP_TO(pipeline, audit, 0, 1),
    UP_TO(stage, timeout, 0, SECONDS),
    NEED(rank_stage, by),
    NEED(pretrain_stage, model),
    UP_TO(model_config, layers, 0, DIM),
    UP_TO(model_config, width, 0, DIM),
    UP_TO(model_config, heads, 0, DIM),
    UP_TO(model_config, kv_heads, 0, DIM),
    UP_TO(model_config, hidden, 0, DIM),
    UP_TO(model_config, context, 0, DIM),
    UP_TO(model_config, vocab_size, 0, 16 * DIM),

    /* status */
    NEED_TO(run_status, run, 1, LONG_NAME),
    NEED_TO(run_status, state, 1, LONG_NAME),
    NEED_TO(job_status, name, 1, LONG_NAME),
    NEED_TO(job_status, state, 1, LONG_NAME),
    NEED_TO(output_status, name, 1, NAME),
    NEED(output_status, id),
    NEED_TO(worker_status, name, 0, NAME),
    NEED_TO(worker_status, state, 1, LONG_NAME),
    NEED_TO(log_line, text, 0, LINE),
    NEED_TO(count, name, 1, LONG_NAME),
    NEED(count, value),
    UP_TO(stats, dispatched, 0, 64),

    /* workers */
    NEED(attempt_ref, task),
    NEED(attempt_ref, attempt),
    NEED(attempt_ref, epoch),
    NEED_TO(hello, worker, 1, NAME),
    NEED_TO(hello, name, 1, NAME),
    UP_TO(hello, host, 0, LONG_NAME),
    UP_TO(hello, cores, 0, ITEMS),
    UP_TO(hello, threads, 0, ITEMS),
    UP_TO(hello, numeric_classes, 0, 64),
    UP_TO(hello, labels, 0, 256),
    UP_TO(hello, running, 0, 4096),
    UP_TO(hello, finished, 0, 4096),
    NEED(welcome, epoch),
    UP_TO(welcome, heartbeat_ms, 1, 3600000),
    UP_TO(welcome, deadline_ms, 1, 3600000),
    UP_TO(heartbeat, running, 0, 4096),
    NEED(heartbeat_ack, epoch),
    NEED(assignment, attempt),
    NEED(assignment, spec),
    UP_TO(assignment, label, 0, 2 * LONG_NAME),
    UP_TO(assignment, timeout, 0, SECONDS),
    UP_TO(assignment, threads, 0, 4096),
    NEED_TO(assign, assignments, 1, 4096),
    UP_TO(revoke, attempts, 0, 4096),
    NEED(progress, attempt),
    UP_TO(progress, rate_unit, 0, NAME),
    UP_TO(progress, metrics, 0, 4096),
    NEED(log_lines, attempt),
    UP_TO(log_lines, lines, 0, 10000),
    NEED(failure, cause),
    UP_TO(failure, log, 0, 10000),
    NEED(result, attempt),
    UP_TO(result_ack, attempts, 0, 4096),

    /* tasks */
    NEED(execute, attempt),
    NEED(execute, spec),
    UP_TO(execute, threads, 0, 4096),
    NEED(task_spec, engine),
    UP_TO(task_spec, numeric_class, 0, LONG_NAME),
    NEED_TO(task_input, name, 1, NAME),
    NEED(task_input, id),
    NEED(encode_task, as),
    UP_TO(encode_task, shards, 1, DIM),
    UP_TO(encode_task, held_out, 0, 1),
    NEED(train_task, objective),
    UP_TO(generate_task, answers_per_prompt, 0, DIM),
    UP_TO(generate_task, max_new_tokens, 0, DIM),
    UP_TO(generate_task, shards, 1, DIM),
    NEED(rollout_task, rl),
    UP_TO(rl_config, batch_size, 1, DIM),
    UP_TO(rl_config, minibatch_size, 1, DIM),
    UP_TO(rl_config, max_new_tokens, 1, DIM),
    UP_TO(rl_config, group_size, 1, 1024),
    UP_TO(rollout_task, shards, 1, DIM),
    NEED(score_task, evaluate),
    UP_TO(score_task, shards, 1, DIM),
    UP_TO(report_task, shards, 1, DIM),
    NEED(report_task, evaluate),
    NEED_TO(output, name, 1, NAME),
    NEED(output, id),
    NEED(output, kind),
    NEED_TO(fact, name, 1, NAME),
    NEED(fact, value),
    NEED_TO(metric, name, 1, LONG_NAME),
    NEED(metric, value),

    /* bulk */
    NEED(chunk_request, id),
    NEED(chunk_request, of),
    NEED(chunk_reply, id),
    NEED(chunk_reply, of),
    UP_TO(chunk_have, ids, 0, 4096),
    UP_TO(chunk_lack, ids, 0, 4096),
    NEED(chunk_put, id),
    NEED(chunk_put, of),
    NEED(chunk_stored, id),
    NEED(chunk_stored, of),
    UP_TO(welcome, bulk_port, 0, 65535),
};
const size_t wire_n_rules = sizeof wire_rules / sizeof *wire_rules;

static int check_progress(const ProtobufCMessage *m, struct err *e)
{
    const Progress *p = (const Progress *)m;

    if (p->total > 0 && p->done > p->total)
        return err_set(e, E_PROTOCOL, "done is more than total");
    return OK;
}

static int check_progress_status(const ProtobufCMessage *m, struct err *e)
{
    const ProgressStatus *p = (const ProgressStatus *)m;

    if (p->total > 0 && p->done > p->total)
        return err_set(e, E_PROTOCOL, "done is more than total");
    return OK;
}

static int check_shard(uint32_t shard, uint32_t shards, struct err *e)
{
    if (shards == 0 || shard >= shards)
        return err_set(e, E_PROTOCOL, "shard %u of %u", (unsigned)shard, (unsigned)shards);
    return OK;
}

/* Only text is encoded in shards. */
static int check_encode(const ProtobufCMessage *m, struct err *e)
{
    const EncodeTask *t = (const EncodeTask *)m;

    if (t->as != ENCODE_AS__AS_TEXT && !t->has_shards)
        return OK;
    return check_shard(t->shard, t->shards, e);
}

static int check_generate(const ProtobufCMessage *m, struct err *e)
{
    const GenerateTask *t = (const GenerateTask *)m;

    return check_shard(t->shard, t->shards, e);
}

static int check_rollout(const ProtobufCMessage *m, struct err *e)
{
    const RolloutTask *t = (const RolloutTask *)m;

    return check_shard(t->shard, t->shards, e);
}

/* Practice has its configuration. */
static int check_train(const ProtobufCMessage *m, struct err *e)
{
    const TrainTask *t = (const TrainTask *)m;
    bool practice = t->objective == TRAIN_TASK__OBJECTIVE__PPO ||
                    t->objective == TRAIN_TASK__OBJECTIVE__RLOO ||
                    t->objective == TRAIN_TASK__OBJECTIVE__GRPO;

    return practice && !t->rl ? err_set(e, E_PROTOCOL, "practice without 'rl'") : OK;
}

static int check_score(const ProtobufCMessage *m, struct err *e)
{
    const ScoreTask *t = (const ScoreTask *)m;

    return check_shard(t->shard, t->shards, e);
}

/* Tiers hold indices of the answers, each at most once. */
static int check_ranking(const ProtobufCMessage *m, struct err *e)
{
    const Ranking *r = (const Ranking *)m;
    uint64_t seen[1024 / 64] = { 0 };

    if (r->n_answers > 1024)
        return err_set(e, E_PROTOCOL, "more than 1024 answers");
    for (size_t i = 0; i < r->n_tiers; i++) {
        for (size_t k = 0; k < r->tiers[i]->n_answers; k++) {
            uint32_t answer = r->tiers[i]->answers[k];
            if (answer >= r->n_answers || (seen[answer / 64] >> answer % 64 & 1))
                return err_set(e, E_PROTOCOL, "a tier's answer is unknown or stands twice");
            seen[answer / 64] |= 1ull << answer % 64;
        }
    }
    return OK;
}

const struct relation wire_relations[] = {
    { &progress__descriptor, check_progress },
    { &progress_status__descriptor, check_progress_status },
    { &encode_task__descriptor, check_encode },
    { &generate_task__descriptor, check_generate },
    { &rollout_task__descriptor, check_rollout },
    { &train_task__descriptor, check_train },
    { &score_task__descriptor, check_score },
    { &ranking__descriptor, check_ranking },
};
const size_t wire_n_relations = sizeof wire_relations / sizeof *wire_relations;
