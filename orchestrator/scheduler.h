#ifndef ORCHESTRATOR_SCHEDULER_H
#define ORCHESTRATOR_SCHEDULER_H

#include "orchestrator/heap.h"
#include "orchestrator/job.h"
#include "orchestrator/retry.h"
#include "proto/bytes.h"

/* The scheduler: a pure step, (state, event, now) → actions. No socket, LMDB, clock, log or
 * callback; memory grows only in sched_add_*, so a step cannot fail half-way.
 *
 * INVARIANTS (sched_check asserts them)
 * (1) A task has at most one live lease: its holder, while its state is LEASED, and never else.
 * (2) The holder of a lease is a live session; what a session holds is what is leased to it.
 * (3) There is one open task for an id; it is open exactly as long as a job waits for its answer.
 * (4) job.open is the number of places in its round that wait for an open task.
 * (5) A job whose needs are not all done is blocked or over.
 * (6) A failed attempt counts only by its exact (task, attempt, epoch); an answer counts for the
 *     task, whoever gives it, once.
 * (7) Between steps no task is ready while a session that may take it has room, but for tasks that
 *     only paused jobs wait for, those that somebody may be running since before a restart,
 *     audits that another session than their first is to take, and sessions that are kept free for
 *     a long task.
 *
 * What an event costs does not grow with the number of tasks or sessions, but for logarithms.
 *
 * All times are milliseconds of a monotonic clock. */
enum {
    HEARTBEAT_MS = 1000,
    SUSPECT_MS = 5000,   /* silent for so long: gets nothing new */
    DEADLINE_MS = 10000, /* a worker that hears nothing for so long stops what it runs */
    LOST_MS = 15000,     /* silent for so long: what it held is given to others */
    FORGOTTEN_MS = 5000, /* a lease that its holder does not report for so long is taken back */
    REUNION_MS = 3000,   /* after a restart: what was running then is given to nobody until its
                            worker has had the time to say so */
    AHEAD_MS = 100,      /* brief tasks are given ahead for about so long */
    CREDIT_MOST = 256    /* … and never more than so many to one worker */
};

struct sched;

/* An attempt; what fences every message about it. */
struct ref {
    struct id task;
    uint32_t attempt;
    uint64_t epoch;
};

struct tags { /* numbers for labels and numeric classes, each once */
    uint32_t *items;
    size_t n;
};

/* The fields below are for reading: only the scheduler changes them. */
struct run {
    uint64_t number;
    struct job *jobs; /* in topological order */
    size_t n_jobs;
    bool started, over;
    struct run_book *book; /* its user's; not the scheduler's */
    struct run *next;
};

struct job {
    struct run *run;
    uint32_t index;
    uint32_t *after; /* jobs that must be done first */
    size_t n_after;
    int32_t priority;
    uint32_t retries;
    uint64_t memory;  /* bytes that a worker must have */
    uint32_t threads; /* that a worker must give */
    struct tags labels;
    enum job_state state;
    uint32_t round;
    uint32_t open;       /* places of the round that wait for an answer */
    uint32_t audits;     /* open tasks that its round does not wait for */
    uint32_t places;     /* places of the round that had to wait */
    bool unfolding;      /* asked for, not yet answered */
    bool paused;         /* nothing new of it is given */
    bool told;           /* its ACT_JOB is among this step's actions */
    uint32_t attempts;   /* the most that one of its tasks has needed */
    struct worker *warm; /* had its last task without siblings; NULL: none, or it is gone */
    int32_t blame;       /* cancelled because of that job; -1: by request */
    struct task **tasks; /* one for each of `open` and `audits`, in no order */
    size_t cap_tasks;
    uint32_t leased; /* places of the round whose task is leased */
};

struct waiter {
    struct job *job;
    uint32_t place; /* in the job's round */
    bool audit;     /* it has no place there: it is run again, to be compared */
    uint32_t index; /* in job->tasks */
};

/* Higher priority goes first, then older runs, then what a round waits for, then earlier jobs,
 * then places of a round. */
struct rank {
    int32_t priority;
    uint64_t run;
    bool audit;
    uint32_t job, place;
};

struct task {
    struct ranked ranked; /* READY: in its lane, unless it waits; BACKING_OFF: by not_before */
    struct rank rank;
    struct lane *lane;
    struct id id;
    TaskSpec *spec; /* owned; only handed on */
    enum task_state state;
    bool brief;   /* over in seconds: may be given ahead */
    bool awaited; /* somebody may be running it since before a restart */
    struct waiter *waiters, one;
    size_t n_waiters, cap_waiters;
    uint32_t last_attempt; /* number of the last attempt of this epoch */
    uint32_t failures, losses;
    Cause cause;        /* of the last failed attempt; 0: none */
    uint64_t avoid;     /* serial of the session where it failed last; 0: none */
    int64_t not_before; /* BACKING_OFF: until */
    struct worker *holder;
    struct ref lease;
    int64_t ready_ms;         /* READY: when it came, or came back; may be in the future */
    int64_t given_ms;         /* LEASED: when */
    int64_t reported_ms;      /* LEASED: when given, or last reported running */
    uint64_t reported;        /* the holder's inventory that last had it */
    struct task *next, *prev; /* of all open tasks, the oldest first */
    struct task *held_next, *held_prev; /* of what its holder holds, the oldest first */
    struct task *chain;                 /* same hash bucket */
};

enum session_state { SESSION_NEW, SESSION_LIVE, SESSION_SUSPECT, SESSION_LOST };

/* A place among the workers of a kin that have room. */
struct seat {
    struct ranked ranked;
    struct worker *worker;
};

/* A worker's session: from its Hello to its Goodbye or silence. */
struct worker {
    struct seat seats[2]; /* among those with room for a long task, for a brief one */
    struct kin *kin;      /* all sessions that offer the same */
    uint64_t serial;      /* from 1; never used again */
    uint64_t who;         /* the same for every session of one worker */
    enum session_state state;
    int64_t heard_ms;
    uint32_t credit[2]; /* tasks that it may hold at once, long and brief ones: grows while such
                         * are quick here */
    int64_t answered_ms;
    uint32_t credit_most;
    uint32_t held, held_long;
    struct task *held_first, *held_last;
    bool draining;                          /* gets nothing new */
    bool kept;                              /* free for a long task that waits */
    bool silent;                            /* for SUSPECT_MS or longer */
    uint64_t inventory;                     /* counts its inventories */
    struct session *session;                /* its user's; not the scheduler's */
    struct worker *next, *prev;             /* by serial */
    struct worker *heard_next, *heard_prev; /* by heard_ms, of those that are as silent */
    struct worker *kept_next;
};

struct event {
    enum event_kind {
        EV_TICK,      /* time has passed */
        EV_START,     /* run: begins; or, when a job is past blocked, goes on after a restart */
        EV_UNFOLDED,  /* job: the tasks of its round are added (perhaps none: all were answered) */
        EV_FINISHED,  /* job: is done */
        EV_PEOPLE,    /* job: waits for people */
        EV_LABELLED,  /* job: people have answered; the next round may be unfolded */
        EV_BROKEN,    /* job: cannot be unfolded */
        EV_DISAGREE,  /* job: an audit of it gave another result */
        EV_CANCEL,    /* job, or run when job is NULL */
        EV_PAUSE,     /* job, or run when job is NULL */
        EV_RESUME,    /* job, or run when job is NULL */
        EV_DRAIN,     /* worker */
        EV_HEARD,     /* worker: any message */
        EV_RUNNING,   /* worker reports that it runs ref */
        EV_INVENTORY, /* worker: that was all it runs; only now is it given work */
        EV_ANSWER,    /* worker has answered ref.task */
        EV_FAILURE,   /* worker's attempt ref has failed by cause */
        EV_GONE,      /* worker: left (cause STOPPED), or was replaced (LOST) */
        EV_FREED,     /* nobody runs ref.task since before the restart: its worker has said so */
        EV_KINDS
    } kind;
    struct run *run;
    struct job *job;
    struct worker *worker;
    struct ref ref;
    Cause cause;
};

struct action {
    enum action_kind {
        ACT_UNFOLD,   /* job: ask for its round (job->round); answer by an event */
        ACT_JOB,      /* job: its state or attempts changed */
        ACT_RUN_OVER, /* run: every job is over */
        ACT_ASSIGN,   /* give task to worker, as ref */
        ACT_REVOKE,   /* worker must stop ref */
        ACT_ANSWERED, /* task: this event's answer is the one that counts, for each waiter */
        ACT_LATE,     /* this event's answer came for a task that is not open: to be compared */
        ACT_RETRY,    /* task: attempt ref on worker failed by cause; another follows in wait_ms */
        ACT_SPENT,    /* job fails by task: attempt ref on worker failed by cause, the last */
        ACT_MISSED,   /* job: its audit `task` will not be run: as ACT_SPENT, but it goes on */
        ACT_LOST      /* worker: fell silent; its session is over */
    } kind;
    struct run *run;
    struct job *job;
    struct task *task;
    struct worker *worker;
    struct ref ref;
    Cause cause;
    int64_t wait_ms;
};

int sched_new(struct sched **out, uint64_t epoch, struct err *e);
void sched_free(struct sched *s); /* with all runs, tasks and sessions */

/* Does what follows from ev. *out: the actions, in the order in which they are to be done,
 * borrowed until the next step, as is everything they name; returns how many. */
size_t sched_step(struct sched *s, const struct event *ev, int64_t now, const struct action **out);

/* How long until time alone changes something; -1: never. */
int64_t sched_wait_ms(const struct sched *s, int64_t now);

/* ---- adding: OK or E_NOMEM with nothing changed ---- */
struct job_spec {
    const uint32_t *after;
    size_t n_after;
    int32_t priority;
    uint32_t retries;
    uint64_t memory;
    uint32_t threads;
    struct tags labels;   /* copied */
    enum job_state state; /* JOB_BLOCKED, or as it was before a restart */
    uint32_t round, attempts;
    bool paused;
};
/* Does nothing until EV_START. Jobs are in topological order. */
int sched_add_run(struct run **out, struct sched *s, uint64_t number, const struct job_spec *jobs,
    size_t n, struct err *e);
void sched_remove_run(struct sched *s, struct run *r); /* after ACT_RUN_OVER was done */

struct task_spec {
    struct id id;
    TaskSpec *spec;     /* taken on OK */
    bool brief;         /* over in seconds: may be given ahead */
    uint32_t class_tag; /* the numeric class it needs; 0: none */
    bool awaited;       /* was leased before a restart */
    int64_t from_ms;    /* now */
    bool audit;         /* no place of the round waits for it */
    uint64_t apart;     /* worker.who that is to have it only when no other can; 0: none */
};
/* The job's round waits, at `place` (unless it is an audit), for this task. When another job waits
 * for the same id already, the two share it. *out may be NULL. */
int sched_add_task(struct task **out, struct sched *s, struct job *job, uint32_t place,
    const struct task_spec *spec, struct err *e);

struct worker_spec {
    uint64_t memory;              /* 0: unknown, it is enough */
    uint32_t threads;             /* 0: unknown, they are enough */
    struct tags tags;             /* copied */
    uint32_t credit, credit_most; /* most < credit: it stays as it is */
    bool draining;
    uint64_t who; /* the same whenever this worker comes back; 0: unknown */
};
/* Gets nothing before its first EV_INVENTORY. */
int sched_add_worker(struct worker **out, struct sched *s, const struct worker_spec *spec,
    int64_t now, struct err *e);

/* ---- looking ---- */
struct task *sched_task(const struct sched *s, const struct id *id); /* NULL: not open */
struct task *sched_tasks(const struct sched *s);                     /* first of all open ones */
struct worker *sched_workers(const struct sched *s);

/* Why a job that is ready or running gets no further now. */
struct why {
    enum {
        WHY_NOT,       /* it does: something of it is leased, or it waits for no task */
        WHY_BEHIND,    /* what is leased of it waits at its worker until `first` is over */
        WHY_NO_WORKER, /* there is none */
        WHY_TAG,       /* none has the label or class `tag` */
        WHY_THREADS,   /* the widest that has the labels gives `most` threads */
        WHY_MEMORY,    /* the largest that has the rest has `most` bytes */
        WHY_PAUSED,    /* by request */
        WHY_BUSY,      /* all that could are busy */
        WHY_DRAINING,  /* all that could are leaving */
        WHY_SILENT,    /* not heard of for a while: whoever has `first`; NULL: all that could */
        WHY_BACKOFF    /* an attempt failed by `cause`; the next one comes at until_ms */
    } what;
    uint32_t tag;
    uint64_t most;
    Cause cause;
    int64_t until_ms;
    const struct task *first;
};
struct why sched_why(const struct sched *s, const struct job *job);
/* Why w is not the one for a ready task of this job: WHY_TAG, _THREADS, _MEMORY, _DRAINING; else
 * WHY_NOT. */
struct why sched_why_not(const struct job *job, const struct worker *w);

/* Asserts the invariants. O(everything): for tests. */
void sched_check(const struct sched *s);

#endif
