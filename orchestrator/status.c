#include "orchestrator/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "orchestrator/job.h"
#include "orchestrator/run_record.h"
#include "pipelines/plan.h"
#include "proto/clock.h"

/* ---- one short text for each kind ---- */

struct shown {
    const char *metric, *format;
};

static const struct {
    const char *kind;
    struct shown shown[2];
} key_metrics[] = {
    { "tokenizer", { { "tokens", "%.0f tokens" } } },
    { "pretrain", { { "loss", "loss %.2f" }, { "bits_per_byte", "bpb %.2f" } } },
    { "sft", { { "loss", "loss %.2f" } } },
    { "rank", { { "rankings", "%.0f rankings" } } },
    { "reward_model", { { "accuracy", "accuracy %.2f" }, { "loss", "loss %.2f" } } },
    { "ppo", { { "objective/scores", "reward %.2f" }, { "objective/kl", "kl %.1f" } } },
    { "rloo", { { "objective/scores", "reward %.2f" }, { "objective/kl", "kl %.1f" } } },
    { "grpo", { { "objective/scores", "reward %.2f" }, { "objective/kl", "kl %.1f" } } },
};

static const double *metric(Metric *const *m, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (m[i]->name && !strcmp(m[i]->name, name))
            return &m[i]->value;
    return NULL;
}

/* A report's metrics are the gold scores of its models; the last one is what was trained for. */
static void last_gold(char *text, size_t size, Metric *const *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m[i]->name && !strncmp(m[i]->name, "gold/", 5))
            snprintf(text, size, "%s gold %.2f", m[i]->name + 5, m[i]->value);
}

/* What was held out judges. Where nothing was, the training's own pairs are all there is to say. */
static void preferences(char *text, size_t size, Metric *const *m, size_t n)
{
    const double *pairs = metric(m, n, "eval_pairs");
    const double *held_out = metric(m, n, "eval_rewards/accuracies");
    const double *margin = metric(m, n, held_out ? "eval_rewards/margins" : "rewards/margins");
    const double *accuracy = held_out ? held_out : metric(m, n, "rewards/accuracies");

    if (accuracy && margin)
        snprintf(text, size, "%s accuracy %.2f margin %.2f%s", held_out ? "held-out" : "training",
            *accuracy, fabs(*margin) < 0.005 ? 0 : *margin,
            pairs && *pairs == 0 ? ", nothing held out" : "");
}

static int key_metric(JobStatus *j, const struct plan_job *p, struct err *e)
{
    char text[128] = "";
    size_t n = 0;

    if (p->stage->kind_case == STAGE__KIND_SAMPLE)
        snprintf(text, sizeof text, "K=%u", p->stage->sample->answers_per_prompt);
    if (p->stage->kind_case == STAGE__KIND_EVALUATE)
        last_gold(text, sizeof text, j->metrics, j->n_metrics);
    if (p->stage->kind_case == STAGE__KIND_DPO)
        preferences(text, sizeof text, j->metrics, j->n_metrics);
    for (size_t i = 0; i < sizeof key_metrics / sizeof *key_metrics; i++)
        for (size_t k = 0; k < 2 && !strcmp(key_metrics[i].kind, p->kind); k++) {
            const struct shown *s = &key_metrics[i].shown[k];
            const double *v = s->metric ? metric(j->metrics, j->n_metrics, s->metric) : NULL;
            if (!v || n >= sizeof text - 1)
                continue;
            if (n > 0)
                text[n++] = ' ';
            n += (size_t)snprintf(text + n, sizeof text - n, s->format, *v);
        }
    return *text ? field_text(&j->key_metric, text, e) : OK;
}

/* ---- one job ---- */

static int copy_metrics(JobStatus *j, const JobRecord *r, struct err *e)
{
    return field_metrics(&j->metrics, &j->n_metrics, r->metrics, r->n_metrics, e);
}

static int copy_outputs(JobStatus *j, const JobRecord *r, struct err *e)
{
    struct id id;

    j->outputs = calloc(r->n_outputs ? r->n_outputs : 1, sizeof *j->outputs);
    if (!j->outputs)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < r->n_outputs; i++) {
        OutputStatus *o = malloc(sizeof *o);
        if (!o)
            return err_set(e, E_NOMEM, "out of memory");
        output_status__init(o);
        j->outputs[j->n_outputs++] = o;
        if (!id_from_span(&id, r->outputs[i]->id.data, r->outputs[i]->id.len))
            return err_set(e, E_CORRUPT, "a job's output has no id");
        o->has_id = true;
        if (field_text(&o->name, r->outputs[i]->name, e) != OK || field_bytes(&o->id, &id, e) != OK)
            return e->code;
    }
    return OK;
}

/* Units of progress in a second: as told when the told rate is of these units, else as it went. */
static double pace(const JobRecord *r, double seconds)
{
    const Progress *p = r->progress;
    bool own = p->rate_unit && (!strcmp(p->rate_unit, "steps/s") || !strcmp(p->rate_unit, "it/s"));

    if (own && p->rate > 0)
        return p->rate;
    return seconds > 0 ? (double)p->done / seconds : 0;
}

static int fill_progress(JobStatus *j, const JobRecord *r, struct err *e)
{
    const Progress *p = r->progress;
    bool runs = r->state == JOB_RUNNING;

    if (!p)
        return OK;
    j->progress = malloc(sizeof *j->progress);
    if (!j->progress)
        return err_set(e, E_NOMEM, "out of memory");
    progress_status__init(j->progress);
    j->progress->has_done = j->progress->has_total = true;
    j->progress->done = p->done;
    j->progress->total = p->total;
    if (runs && p->done > 0 && p->total >= p->done && pace(r, j->seconds) > 0) {
        j->has_seconds_left = true;
        j->seconds_left = (double)(p->total - p->done) / pace(r, j->seconds);
    }
    if (!p->has_rate)
        return OK;
    j->has_rate = true;
    j->rate = p->rate;
    return p->rate_unit ? field_text(&j->rate_unit, p->rate_unit, e) : OK;
}

static int fill_job(
    JobStatus *j, const struct plan_job *p, const JobRecord *r, int64_t now, struct err *e)
{
    int rc = field_text(&j->name, p->name, e);

    j->has_attempts = j->has_cached = j->has_tasks_run = j->has_tasks_cached = true;
    j->has_max_attempts = true;
    j->attempts = r->attempts;
    j->max_attempts = p->stage->retries + 1;
    j->cached = r->cached;
    j->tasks_run = r->tasks_run;
    j->tasks_cached = r->tasks_cached;
    j->has_audits_open = r->n_audits > 0;
    j->audits_open = (uint32_t)r->n_audits;
    j->has_audits_agreed = r->audits_agreed > 0;
    j->audits_agreed = r->audits_agreed;
    j->has_audits_missed = r->audits_missed > 0;
    j->audits_missed = r->audits_missed;
    if (r->has_started_ms && (r->has_finished_ms || now >= r->started_ms)) {
        j->has_seconds = true;
        j->seconds = (double)((r->has_finished_ms ? r->finished_ms : now) - r->started_ms) / 1000;
    }
    if (rc == OK)
        rc = field_text(&j->kind, p->kind, e);
    if (rc == OK)
        rc = field_text(&j->state, job_state_name((enum job_state)r->state), e);
    if (rc == OK)
        rc = copy_metrics(j, r, e);
    if (rc == OK)
        rc = copy_outputs(j, r, e);
    if (rc == OK)
        rc = fill_progress(j, r, e);
    if (rc == OK && r->why)
        rc = field_text(&j->why, r->why, e);
    if (rc == OK && r->worker && *r->worker)
        rc = field_text(&j->worker, r->worker, e);
    return rc == OK ? key_metric(j, p, e) : rc;
}

/* ---- one run ---- */

static int job_record(
    JobRecord **out, struct state_txn *t, uint64_t run, uint32_t index, struct err *e)
{
    ProtobufCMessage *m = NULL;
    int rc = state_get(t, STATE_JOB, key_numbers(2, run, index, 0), &job_record__descriptor, &m, e);

    if (rc != OK)
        return rc;
    if (!m) {
        JobRecord *r = malloc(sizeof *r);
        if (!r)
            return err_set(e, E_NOMEM, "out of memory");
        job_record__init(r);
        m = &r->base;
    }
    *out = (JobRecord *)m;
    return OK;
}

static int fill_blocked_by(
    RunStatus *s, const struct plan *p, JobRecord *const *records, struct err *e)
{
    for (size_t i = 0; i < p->n_jobs; i++) {
        JobStatus *j = s->jobs[i];
        if (records[i]->state != JOB_BLOCKED)
            continue;
        j->blocked_by = calloc(p->jobs[i].n_after ? p->jobs[i].n_after : 1, sizeof *j->blocked_by);
        if (!j->blocked_by)
            return err_set(e, E_NOMEM, "out of memory");
        for (size_t k = 0; k < p->jobs[i].n_after; k++) {
            uint32_t need = p->jobs[i].after[k];
            if (records[need]->state != JOB_DONE &&
                field_text(&j->blocked_by[j->n_blocked_by++], p->jobs[need].name, e) != OK)
                return e->code;
        }
    }
    return OK;
}

static int fill_jobs(
    RunStatus *s, const struct plan *p, JobRecord *const *records, int64_t now, struct err *e)
{
    int rc = OK;

    s->jobs = calloc(p->n_jobs + 1, sizeof *s->jobs);
    if (!s->jobs)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < p->n_jobs && rc == OK; i++) {
        s->jobs[i] = malloc(sizeof **s->jobs);
        if (!s->jobs[i])
            return err_set(e, E_NOMEM, "out of memory");
        job_status__init(s->jobs[i]);
        s->n_jobs++;
        rc = fill_job(s->jobs[i], &p->jobs[i], records[i], now, e);
    }
    return rc == OK ? fill_blocked_by(s, p, records, e) : rc;
}

static bool waits_only_for_people(JobRecord *const *records, size_t n)
{
    bool people = false;

    for (size_t i = 0; i < n; i++) {
        if (records[i]->state == JOB_READY || records[i]->state == JOB_RUNNING)
            return false;
        people = people || records[i]->state == JOB_WAITING_FOR_PEOPLE;
    }
    return people;
}

/* Nobody knows when an interrupted run was interrupted; its clock stops at its last event. */
static int64_t last_event(const RunRecord *r, JobRecord *const *records, size_t n)
{
    int64_t last = r->submitted_ms;

    for (size_t i = 0; i < n; i++) {
        if (records[i]->started_ms > last)
            last = records[i]->started_ms;
        if (records[i]->finished_ms > last)
            last = records[i]->finished_ms;
    }
    return last;
}

static const char *run_word(const RunRecord *r, bool alive, bool only_people)
{
    switch (r->state) {
    case RUN_STATE__RUN_RUNNING:
        return !alive ? "interrupted" : only_people ? "waiting" : "running";
    case RUN_STATE__RUN_DONE:
        return "done";
    case RUN_STATE__RUN_FAILED:
        return "failed";
    case RUN_STATE__RUN_CANCELLED:
        return "cancelled";
    case _RUN_STATE_IS_INT_SIZE:
        break;
    }
    return "unknown";
}

static int fill_run(RunStatus *s, const RunRecord *r, const char *state, int64_t now, struct err *e)
{
    char text[CLOCK_TEXT];
    int rc = field_text(&s->run, r->name, e);

    s->has_schema = s->has_seconds = true;
    s->schema = 1;
    s->seconds = (double)((r->has_finished_ms ? r->finished_ms : now) - r->submitted_ms) / 1000;
    if (rc == OK)
        rc = field_text(&s->state, state, e);
    if (rc == OK)
        rc = field_text(&s->pipeline, r->submit->pipeline->name, e);
    if (rc == OK && r->submit->file)
        rc = field_text(&s->file, r->submit->file, e);
    if (rc == OK && r->numeric_class)
        rc = field_text(&s->numeric_class, r->numeric_class, e);
    clock_iso(text, r->submitted_ms);
    if (rc == OK)
        rc = field_text(&s->submitted_at, text, e);
    clock_iso(text, r->finished_ms);
    if (rc == OK && r->has_finished_ms)
        rc = field_text(&s->finished_at, text, e);
    return rc;
}

/* p: NULL: without its jobs. */
static int fill(RunStatus **out, const RunRecord *r, const struct plan *p,
    JobRecord *const *records, size_t n, bool alive, int64_t now, struct err *e)
{
    RunStatus *s = malloc(sizeof *s);
    int rc;

    if (!s)
        return err_set(e, E_NOMEM, "out of memory");
    run_status__init(s);
    if (!alive)
        now = last_event(r, records, n);
    rc = fill_run(s, r, run_word(r, alive, waits_only_for_people(records, n)), now, e);
    if (rc == OK && p)
        rc = fill_jobs(s, p, records, now, e);
    for (size_t i = 0; !alive && i < s->n_jobs; i++)
        s->jobs[i]->has_seconds_left = false;
    if (rc != OK) {
        message_free(s);
        return err_wrap(e, "run '%s'", r->name);
    }
    *out = s;
    return OK;
}

int status_of(RunStatus **out, const RunRecord *run, const struct plan *plan,
    JobRecord *const *jobs, int64_t now_unix_ms, struct err *e)
{
    return fill(out, run, plan, jobs, plan->n_jobs, true, now_unix_ms, e);
}

/* Of a record alone: the rest is made and read. */
static int make_run(RunStatus **out, struct state_txn *t, const RunRecord *r, bool jobs, bool alive,
    int64_t now, struct err *e)
{
    struct plan *p = NULL;
    JobRecord **records = NULL;
    size_t n = 0;
    int rc = plan_make(&p, r->submit, e);

    if (rc == E_INPUT && !jobs)
        rc = OK; /* a run of another program's time can still be listed */
    if (rc == OK && !(records = calloc(p ? p->n_jobs + 1 : 1, sizeof *records)))
        rc = err_set(e, E_NOMEM, "out of memory");
    for (; rc == OK && p && n < p->n_jobs; n += rc == OK)
        rc = job_record(&records[n], t, r->number, (uint32_t)n, e);
    rc = rc == OK ? fill(out, r, jobs ? p : NULL, records, n, alive, now, e)
                  : err_wrap(e, "run '%s'", r->name);
    for (size_t i = 0; i < n; i++)
        message_free(records[i]);
    free(records);
    plan_free(p);
    return rc;
}

int status_run(RunStatus **out, struct state_txn *t, const char *run, bool alive,
    int64_t now_unix_ms, struct err *e)
{
    RunRecord *r = NULL;
    int rc = run_record_find(&r, t, run, e);

    if (rc == OK)
        rc = make_run(out, t, r, true, alive, now_unix_ms, e);
    message_free(r);
    return rc;
}

struct listing {
    StatusReply *reply;
    struct state_txn *t;
    int64_t now;
    bool alive;
};

static int add_run(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct listing *l = ctx;
    RunStatus **p = field_grow(l->reply->runs, l->reply->n_runs, sizeof *p, e);
    int rc = p ? OK : e->code;

    (void)key;
    if (p) {
        l->reply->runs = p;
        rc = make_run(&p[l->reply->n_runs], l->t, (RunRecord *)m, false, l->alive, l->now, e);
        l->reply->n_runs += rc == OK;
    }
    message_free(m);
    return rc;
}

int status_runs(
    StatusReply **out, struct state_txn *t, bool alive, int64_t now_unix_ms, struct err *e)
{
    struct listing l = { malloc(sizeof(StatusReply)), t, now_unix_ms, alive };
    int rc;

    if (!l.reply)
        return err_set(e, E_NOMEM, "out of memory");
    status_reply__init(l.reply);
    rc = state_each(
        t, STATE_RUN, (struct state_key){ .n = 0 }, false, &run_record__descriptor, add_run, &l, e);
    if (rc < OK) {
        message_free(l.reply);
        return rc;
    }
    *out = l.reply;
    return OK;
}

/* ---- RUN/STAGE.OUTPUT ---- */

/* The job called `stage`, or `stage` without its last .OUTPUT, which is then the output's name. */
static const struct plan_job *named_job(const struct plan *p, char *stage, const char **output)
{
    char *dot = strrchr(stage, '.');

    for (size_t i = 0; i < p->n_jobs; i++)
        if (!strcmp(p->jobs[i].name, stage))
            return &p->jobs[i];
    if (!dot)
        return NULL;
    *dot = '\0';
    *output = dot + 1;
    for (size_t i = 0; i < p->n_jobs; i++)
        if (!strcmp(p->jobs[i].name, stage))
            return &p->jobs[i];
    *dot = '.';
    return NULL;
}

static int no_such_stage(const RunRecord *r, const struct plan *p, const char *stage, struct err *e)
{
    struct buf names = { 0 };

    for (size_t i = 0; i < p->n_jobs; i++)
        if (buf_printf(&names, "%s%s", i ? ", " : "", p->jobs[i].name) != OK)
            break;
    err_set(e, E_MISSING, "run '%s' has no stage '%s'; it has %s", r->name, stage,
        names.p ? names.p : "none");
    buf_free(&names);
    return e->code;
}

static int pick_output(Output **out, const JobRecord *j, const char *stage, const char *preferred,
    const char *output, struct err *e)
{
    const Output *found = NULL;

    if (j->state != JOB_DONE)
        return err_set(e, E_MISSING, "stage '%s' has no output yet: it is %s", stage,
            job_state_name((enum job_state)j->state));
    for (size_t i = 0; i < j->n_outputs && !found; i++)
        if (!strcmp(j->outputs[i]->name, output ? output : preferred ? preferred : ""))
            found = j->outputs[i];
    if (!found && !output && j->n_outputs == 1)
        found = j->outputs[0];
    if (!found)
        return err_set(e, E_MISSING, "stage '%s' has no output '%s'", stage,
            output      ? output
            : preferred ? preferred
                        : "");
    return message_copy((ProtobufCMessage **)out, &found->base, e);
}

int status_artifact(
    Output **out, struct state_txn *t, const char *what, const char *output, struct err *e)
{
    const char *slash = strchr(what, '/'), *named = NULL;
    char *run = slash ? strndup(what, (size_t)(slash - what)) : strdup("");
    char *stage = strdup(slash ? slash + 1 : what);
    const struct plan_job *job = NULL;
    struct plan *p = NULL;
    RunRecord *r = NULL;
    JobRecord *j = NULL;
    int rc = run && stage ? run_record_find(&r, t, run, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = plan_make(&p, r->submit, e);
    if (rc == OK) {
        job = named_job(p, stage, &named);
        rc = job ? job_record(&j, t, r->number, (uint32_t)(job - p->jobs), e)
                 : no_such_stage(r, p, stage, e);
    }
    if (rc == OK)
        rc = pick_output(out, j, job->name, output, named, e);
    message_free(j);
    plan_free(p);
    message_free(r);
    free(run);
    free(stage);
    return rc;
}
