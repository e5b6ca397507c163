#ifndef ORCHESTRATOR_SCHEDULER_INT_H
#define ORCHESTRATOR_SCHEDULER_INT_H

/* Innards that scheduler.c (runs and jobs), sessions.c, leases.c (tasks) and dispatch.c (who gets
 * what) share. */
#include "orchestrator/scheduler.h"

/* Tasks that need the same of a worker. */
struct lane {
    struct tags labels;
    uint64_t memory;
    uint32_t threads;
    uint32_t class_tag;
    uint64_t apart;
    bool brief;
    bool closed; /* this dispatch finds nobody for them */
    struct heap ready;
    size_t n_tasks;
    struct lane *next;
};

/* Sessions that offer the same. */
struct kin {
    struct tags tags;
    uint64_t memory;
    uint32_t threads;
    struct heap free[2]; /* those with room for long, for brief tasks; the emptiest first */
    size_t n_workers;
    struct kin *next;
};

struct worker_list {
    struct worker *first, *last;
};

struct sched {
    uint64_t epoch;
    uint64_t last_serial;
    struct run *runs;
    struct worker_list workers;  /* by serial */
    struct worker_list heard[2]; /* by heard_ms; [1]: those that are silent */
    struct worker *kept;
    struct task *tasks, *tail;
    struct task **buckets;
    size_t n_buckets; /* a power of two, or 0 */
    struct heap backing_off;
    struct lane *lanes;
    struct kin *kins;
    size_t n_tasks, n_jobs, n_runs, n_workers;
    size_t n_behind; /* sessions of which is_behind is true */
    struct action *actions;
    size_t n_actions, cap_actions;
    struct task *dead_tasks; /* named by this step's actions; freed by the next */
    struct worker *dead_workers;
    bool due; /* something became ready, or room became free */
    int64_t ticked_ms;
    int64_t reunion_ms; /* nobody is awaited any longer */
};

int sched_reserve(
    struct sched *s, size_t jobs, size_t runs, size_t tasks, size_t workers, struct err *e);
struct action *sched_act(struct sched *s, enum action_kind kind);
bool ref_equal(const struct ref *a, const struct ref *b);
int tags_copy(struct tags *out, const struct tags *from, struct err *e);
bool tags_equal(const struct tags *a, const struct tags *b);

/* scheduler.c */
void job_move(struct sched *s, struct job *j, enum job_state to);
void job_tell(struct sched *s, struct job *j);
void job_round_over(struct sched *s, struct job *j);
void job_fail(struct sched *s, struct job *j);

/* sessions.c */
void on_tick(struct sched *s, const struct event *ev, int64_t now);
void on_heard(struct sched *s, const struct event *ev, int64_t now);
void on_running(struct sched *s, const struct event *ev, int64_t now);
void on_inventory(struct sched *s, const struct event *ev, int64_t now);
void on_gone(struct sched *s, const struct event *ev, int64_t now);
void on_freed(struct sched *s, const struct event *ev, int64_t now);
void session_hear(struct sched *s, struct worker *w, int64_t now);

/* leases.c */
void task_lease(
    struct sched *s, struct task *t, struct worker *w, const struct ref *ref, int64_t now);
void task_answered(
    struct sched *s, struct task *t, struct worker *w, const struct ref *ref, int64_t now);
void task_failed(struct sched *s, struct task *t, Cause cause, int64_t now);
void task_give_back(struct sched *s, struct task *t); /* to be given to another */
void task_leave(struct sched *s, struct job *j);
void task_wake(struct sched *s, struct task *t);
void task_free(struct task *t);
bool task_is_sooner(const struct ranked *a, const struct ranked *b);

/* dispatch.c */
void dispatch(struct sched *s, int64_t now);
void take_back(struct sched *s, int64_t now);
void credit_reset(struct worker *w);    /* to one task, unless it stays as it is */
bool is_behind(const struct worker *w); /* a task that it holds waits for another, perhaps long */
/* A new task's lane, a new session's kin, with room for it. */
int lane_join(struct sched *s, struct task *t, const struct task_spec *spec, struct err *e);
void lane_leave(struct sched *s, struct task *t);
int kin_join(struct sched *s, struct worker *w, const struct worker_spec *spec, struct err *e);
void kin_leave(struct sched *s, struct worker *w);
/* Whatever has changed about it: it stands where it belongs. */
void task_place(struct sched *s, struct task *t);
void worker_place(struct sched *s, struct worker *w);
bool worker_can_take(const struct sched *s, const struct worker *w, const struct task *t);
bool task_waits(const struct task *t); /* READY, but not to be given */

/* control.c: what people ask for */
void on_pause(struct sched *s, const struct event *ev, int64_t now);
void on_resume(struct sched *s, const struct event *ev, int64_t now);
void on_drain(struct sched *s, const struct event *ev, int64_t now);

#endif
