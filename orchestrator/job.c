#include "orchestrator/job.h"

#define TO(s) (1u << JOB_##s)
static const struct {
    const char *name;
    unsigned next;
} job_states[] = {
    [JOB_BLOCKED] = { "blocked", TO(READY) | TO(CANCELLED) },
    [JOB_READY] = { "ready",
        TO(RUNNING) | TO(WAITING_FOR_PEOPLE) | TO(DONE) | TO(FAILED) | TO(CANCELLED) },
    [JOB_RUNNING] = { "running", TO(WAITING_FOR_PEOPLE) | TO(DONE) | TO(FAILED) | TO(CANCELLED) },
    [JOB_WAITING_FOR_PEOPLE] = { "waiting_for_people", TO(READY) | TO(FAILED) | TO(CANCELLED) },
    [JOB_DONE] = { "done", 0 },
    [JOB_FAILED] = { "failed", 0 },
    [JOB_CANCELLED] = { "cancelled", 0 },
};
#undef TO
_Static_assert(sizeof job_states / sizeof *job_states == JOB_STATES, "one row for each state");

#define TO(s) (1u << TASK_##s)
static const struct {
    const char *name;
    unsigned next;
} task_states[] = {
    [TASK_READY] = { "ready", TO(LEASED) | TO(DONE) | TO(FAILED) },
    [TASK_LEASED] = { "leased", TO(READY) | TO(BACKING_OFF) | TO(DONE) | TO(FAILED) },
    [TASK_BACKING_OFF] = { "backing_off", TO(READY) | TO(LEASED) | TO(DONE) | TO(FAILED) },
    [TASK_DONE] = { "done", 0 },
    [TASK_FAILED] = { "failed", 0 },
};
#undef TO
_Static_assert(sizeof task_states / sizeof *task_states == TASK_STATES, "one row for each state");

const char *job_state_name(enum job_state s)
{
    return (unsigned)s < JOB_STATES ? job_states[s].name : "unknown";
}

const char *task_state_name(enum task_state s)
{
    return (unsigned)s < TASK_STATES ? task_states[s].name : "unknown";
}

bool job_may_move(enum job_state from, enum job_state to)
{
    return job_states[from].next >> to & 1;
}

bool task_may_move(enum task_state from, enum task_state to)
{
    return task_states[from].next >> to & 1;
}

bool job_is_over(enum job_state s)
{
    return job_states[s].next == 0;
}
