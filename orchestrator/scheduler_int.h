#ifndef ORCHESTRATOR_SCHEDULER_INT_H
#define ORCHESTRATOR_SCHEDULER_INT_H

/* Innards that scheduler.c (runs, jobs, sessions), leases.c (tasks) and dispatch.c (who gets
 * what) share. */
#include "orchestrator/scheduler.h"

struct sched {
    uint64_t epoch;
    uint64_t last_serial;
    struct run *runs;
    struct worker *workers; /* by serial */
    struct task *tasks, *tail;
    struct task **buckets;
    size_t n_buckets; /* a power of two, or 0 */
    size_t n_tasks, n_jobs, n_runs, n_workers;
    struct action *actions;
    size_t n_actions, cap_actions;
    struct task *dead_tasks; /* named by this step's actions; freed by the next */
    struct worker *dead_workers;
    bool due; /* something became ready, or room became free */
    int64_t ticked_ms;
    int64_t reunion_ms; /* nothing is given before */
};

int sched_reserve(
    struct sched *s, size_t jobs, size_t runs, size_t tasks, size_t workers, struct err *e);
struct action *sched_act(struct sched *s, enum action_kind kind);
bool ref_equal(const struct ref *a, const struct ref *b);

/* scheduler.c */
void job_move(struct sched *s, struct job *j, enum job_state to);
void job_tell(struct sched *s, struct job *j);
void job_round_over(struct sched *s, struct job *j);
void job_fail(struct sched *s, struct job *j);

/* leases.c */
void task_lease(
    struct sched *s, struct task *t, struct worker *w, const struct ref *ref, int64_t now);
void task_answered(struct sched *s, struct task *t, struct worker *w, const struct ref *ref);
void task_failed(struct sched *s, struct task *t, Cause cause, int64_t now);
void task_leave(struct sched *s, struct job *j);
void task_wake(struct sched *s, struct task *t);
void task_free(struct task *t);

/* dispatch.c */
void dispatch(struct sched *s, int64_t now);
bool worker_can_take(const struct worker *w, const struct task *t);
bool task_is_paused(const struct task *t);

/* control.c: what people ask for */
void on_pause(struct sched *s, const struct event *ev, int64_t now);
void on_resume(struct sched *s, const struct event *ev, int64_t now);
void on_drain(struct sched *s, const struct event *ev, int64_t now);

#endif
