#include "tests/simulation/sim_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What is durable, read as any client would read it. */

int sim_job(const struct sim *s, const char *name)
{
    for (size_t i = 0; i < s->plan->n_jobs; i++)
        if (!strcmp(s->plan->jobs[i].name, name))
            return (int)i;
    assert(!"no such job");
    return -1;
}

static ProtobufCMessage *committed(
    enum state_table table, struct state_key key, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *m = NULL;
    struct err e = ERR_INIT;

    assert(disk_get(table, key, type, &m, &e) == OK);
    return m;
}

static JobRecord *job_record(struct sim *s, const char *job)
{
    struct state_key key = key_numbers(2, 1, (uint64_t)sim_job(s, job), 0);

    return (JobRecord *)committed(STATE_JOB, key, &job_record__descriptor);
}

enum job_state sim_state(struct sim *s, const char *job)
{
    JobRecord *r = job_record(s, job);
    enum job_state state = r ? (enum job_state)r->state : JOB_BLOCKED;

    message_free(r);
    return state;
}

uint32_t sim_attempts(struct sim *s, const char *job)
{
    JobRecord *r = job_record(s, job);
    uint32_t n = r ? r->attempts : 0;

    message_free(r);
    return n;
}

uint32_t sim_tasks(struct sim *s, const char *job)
{
    JobRecord *r = job_record(s, job);
    uint32_t n = r ? r->tasks_run + r->tasks_cached : 0;

    message_free(r);
    return n;
}

uint32_t sim_tasks_run(struct sim *s, const char *job)
{
    JobRecord *r = job_record(s, job);
    uint32_t n = r ? r->tasks_run : 0;

    message_free(r);
    return n;
}

uint32_t sim_audits(struct sim *s, const char *job)
{
    JobRecord *r = job_record(s, job);
    uint32_t n = r ? r->audits_agreed : 0;

    message_free(r);
    return n;
}

char *sim_why(struct sim *s, const char *job)
{
    JobRecord *r = job_record(s, job);
    char *why = strdup(r && r->why ? r->why : "");

    message_free(r);
    return why;
}

static RunRecord *run_record(int n)
{
    return (RunRecord *)committed(
        STATE_RUN, key_numbers(1, (uint64_t)n, 0, 0), &run_record__descriptor);
}

char *sim_run_state(struct sim *s, int n)
{
    static const char *const words[] = {
        [RUN_STATE__RUN_RUNNING] = "running",
        [RUN_STATE__RUN_DONE] = "done",
        [RUN_STATE__RUN_FAILED] = "failed",
        [RUN_STATE__RUN_CANCELLED] = "cancelled",
    };
    RunRecord *r = run_record(n);
    char *word = strdup(r ? words[r->state] : "absent");

    (void)s;
    message_free(r);
    return word;
}

static bool all_over(struct sim *s, const void *unused)
{
    bool over = s->submitted >= (s->opts.runs ? s->opts.runs : 1);

    (void)unused;
    if (!over || s->looked_at == disk_version(STATE_RUN))
        return false;
    for (int n = 1; over && n <= (int)disk_count(STATE_RUN); n++) {
        RunRecord *r = run_record(n);
        over = r && r->state != RUN_STATE__RUN_RUNNING;
        message_free(r);
    }
    s->looked_at = over ? 0 : disk_version(STATE_RUN);
    return over;
}

bool sim_run_until_done(struct sim *s, int64_t ms)
{
    return sim_run_until(s, ms, all_over, NULL);
}

struct wanted {
    const char *job;
    enum job_state state;
};

static bool is_in_state(struct sim *s, const void *what)
{
    const struct wanted *w = what;

    return sim_state(s, w->job) == w->state;
}

bool sim_run_until_state(struct sim *s, const char *job, enum job_state state, int64_t ms)
{
    struct wanted w = { job, state };

    return sim_run_until(s, ms, is_in_state, &w);
}

char *sim_results(struct sim *s)
{
    const struct plan *p = s->plan;
    struct buf text = { 0 };

    for (size_t i = 0; i < p->n_jobs; i++) {
        JobRecord *r = job_record(s, p->jobs[i].name);
        for (size_t k = 0; r && k < r->n_outputs; k++) {
            char hex[ID_HEX];
            struct id id;
            assert(id_from_span(&id, r->outputs[k]->id.data, r->outputs[k]->id.len));
            id_hex(hex, &id);
            assert(
                buf_printf(&text, "%s.%s %s\n", p->jobs[i].name, r->outputs[k]->name, hex) == OK);
        }
        /* However often it was begun anew, each task counts once. */
        if (r && !r->cached)
            assert(buf_printf(&text, "%s %u tasks\n", p->jobs[i].name,
                       r->tasks_run + r->tasks_cached) == OK);
        message_free(r);
    }
    return text.p;
}

int sim_executions(const struct sim *s, const char *job)
{
    return s->executions[sim_job(s, job)];
}

int64_t sim_now(const struct sim *s)
{
    return s->now;
}

struct sim_tally sim_tally(const struct sim *s)
{
    return s->tally;
}

bool sim_was_told(const struct sim *s, const char *part)
{
    return s->told.p && strstr(s->told.p, part);
}

int sim_log_lines(const struct sim *s)
{
    (void)s;
    return (int)disk_count(STATE_LOG);
}

int sim_unacknowledged(const struct sim *s)
{
    int n = 0;

    for (int i = 0; i < s->opts.workers; i++)
        n += (int)s->workers[i].n_finished;
    return n;
}

void sim_lose_artifact(struct sim *s, const char *job, const char *output)
{
    JobRecord *r = job_record(s, job);
    struct id id;
    bool lost = false;

    for (size_t i = 0; i < r->n_outputs; i++)
        if (!strcmp(r->outputs[i]->name, output) &&
            id_from_span(&id, r->outputs[i]->id.data, r->outputs[i]->id.len)) {
            artifacts_remove(&id);
            lost = true;
        }
    message_free(r);
    assert(lost);
}
