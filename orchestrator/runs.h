#ifndef ORCHESTRATOR_RUNS_H
#define ORCHESTRATOR_RUNS_H

#include "orchestrator/fleet.h"
#include "orchestrator/journal.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/stats.h"
#include "orchestrator/sweeper.h"
#include "pipelines/plan.h"
#include "proto/id_set.h"
#include "store/store.h"

/* The books about unfinished runs, and what each of the scheduler's actions means: the shell
 * around the pure core.
 *
 *     message ──► event ──► sched_step ──► actions ──► rows of the journal, letters of the outbox
 *                   ▲                         │
 *                   └── unfolded, finished ◄──┘  ACT_UNFOLD asks pipelines/ for the next round
 *
 * INVARIANTS
 * (1) A JobRecord says what the scheduler's job says whenever a turn is committed.
 * (2) record.slots are those of finished rounds: unfolding record.round again gives the same tasks.
 * (3) An answer's row is put in the turn in which anything is built on it. */

#define LOG_LINES_MAX 2000 /* kept for each job */

struct round {    /* what the job waits for now */
    char **names; /* of each place */
    struct id *ids;
    TaskAnswer **answers; /* NULL: not yet */
    size_t n, missing;
};

struct slot_index { /* of record.slots, by name */
    uint32_t *at;   /* place + 1; 0: free */
    size_t cap, n;  /* n: so many slots are in it */
};

struct lines { /* numbers of the kept log lines of a job, a ring */
    uint64_t *numbers;
    size_t n, first;
};

struct job_book {
    JobRecord *record;
    const struct plan_job *plan;
    struct job *job;
    struct run_book *run;
    struct round round;
    struct slot_index index;
    bool awaits_audits; /* and nothing else: it is done when they agree */
    bool resumed;       /* its next unfolding repeats one from before a restart */
    bool trains;        /* its progress is told by a train task, in the job's own units */
    bool changed;       /* record is to be written in this turn … */
    bool leased;        /* … or with it, if it is committed … */
    bool touched;       /* … or at the next sweep */
    struct job_book *next_changed; /* of this turn's */
    int64_t heard_ms;              /* last progress taken */
    uint64_t next_metric, next_label;
    uint32_t wanted; /* rankings that people are asked for */
    struct lines lines;
    struct ref logged; /* last attempt that sent log lines */
};

struct run_book {
    RunRecord *record;
    struct plan *plan;
    struct run *run;
    struct job_book *jobs; /* as plan->jobs */
    uint32_t class_tag;    /* 0: not chosen yet, the run is not started */
    uint64_t next_line;
    bool over, changed;           /* in this turn */
    struct run_book *next, *prev; /* older first */
    struct run_book *next_over, *next_changed;
};

struct orchestrator {
    struct journal *journal;
    struct store *store;
    struct sched *sched;
    struct fleet *fleet;
    struct outbox outbox;
    struct run_book *books, *last_book;
    struct job_book *changed; /* in this turn */
    struct run_book *changed_runs, *over;
    struct name_count *names; /* of runs, by pipeline */
    struct event *queue;      /* events that follow from actions */
    size_t n_queue, cap_queue;
    struct action *actions; /* of the step that is being done */
    size_t cap_actions;
    const Result *result; /* that the event is about */
    struct session *from; /* who sent it */
    struct now now;
    int64_t swept_ms;
    struct sweeper *sweeper;
    struct id_set left; /* links that chains have left behind in this turn */
    unsigned bulk_port; /* for workers with other stores; 0: they are refused */
    bool stop;
    struct stats stats;
    const struct bulk_traffic *traffic; /* NULL: no chunks travel */
    struct watcher *watchers;           /* status replies that wait for the end of a run */
    size_t n_watchers;
};

/* ---- runs.c: the books ---- */
int runs_load(struct orchestrator *o, struct err *e);
/* A new run. Takes record, which has its submit, and the plan made from that. */
int runs_add(struct orchestrator *o, RunRecord *record, struct plan *plan, struct err *e);
int runs_start(struct orchestrator *o, struct err *e); /* those whose class can now be chosen */
/* Ends a turn: writes changed records, drops books that are over. */
int runs_flush(struct orchestrator *o, struct err *e);
void job_changed(struct orchestrator *o, struct job_book *b);
void job_leased(struct orchestrator *o, struct job_book *b); /* a long task of it */
/* Tasks that waited for this session are free when it does not run them. */
int runs_free_awaited(struct orchestrator *o, const struct session *s, struct err *e);
/* The next name of a run of this pipeline; *out malloc'ed. */
int runs_name(char **out, struct orchestrator *o, const char *pipeline, struct err *e);
void runs_free(struct orchestrator *o);
struct run_book *runs_find(const struct orchestrator *o, const char *name);
struct job_book *runs_job(const struct job *j);
struct job_book *run_job(const struct run_book *r, const char *name);

/* ---- actions.c: the pump ---- */
AttemptRef *attempt_ref(const struct ref *ref, struct err *e); /* freed by message_free */
int runs_follow(struct orchestrator *o, const struct event *ev, struct err *e); /* queues ev */
int runs_pump(struct orchestrator *o, struct err *e); /* all that is queued, and what follows */
int runs_event(struct orchestrator *o, const struct event *ev, struct err *e); /* both */

/* ---- rounds.c ---- */
int round_unfold(struct orchestrator *o, struct job_book *b, struct err *e);
int round_answer(struct orchestrator *o, struct job_book *b, const struct waiter *w,
    const struct task *t, const TaskAnswer *a, struct err *e);
int round_slot(struct job_book *b, const char *name, const Output *output, struct err *e);
void round_clear(struct round *r);

/* ---- chains.c: what a chain has left behind ---- */
int chain_moves(struct orchestrator *o, const Output *left, struct err *e);
int chain_ends(struct orchestrator *o, const struct job_book *b, struct err *e); /* it is done */
void chains_sweep(struct orchestrator *o); /* after the commit */

/* ---- progress.c: what people see of a job while it runs ---- */
int progress_take(struct orchestrator *o, struct job_book *b, const struct task *t,
    const Progress *p, struct err *e);
int progress_answer(struct orchestrator *o, struct job_book *b, const struct task *t,
    const TaskAnswer *a, struct err *e);                   /* the metrics of a segment that ends */
int progress_count(struct job_book *b, struct err *e);     /* answers of its rounds */
int progress_sweep(struct orchestrator *o, struct err *e); /* why each waiting job waits */
int progress_log(struct orchestrator *o, struct job_book *b, const char *worker, uint32_t attempt,
    const char *text, struct err *e);
int progress_logf(struct orchestrator *o, struct job_book *b, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int progress_load_lines(struct orchestrator *o, struct run_book *r, struct err *e);

/* ---- people.c ---- */
int people_load(struct orchestrator *o, struct job_book *b, struct err *e);
int people_wait(struct orchestrator *o, struct job_book *b, uint32_t wanted, struct err *e);
int people_take(struct orchestrator *o, struct job_book *b, const Labels *m, struct err *e);

/* ---- watchers.c: who waits for the end of a run ---- */
struct watcher {
    struct peer to;
    uint64_t request;
    char *run;
    int64_t until_ms;
};
/* False: there are too many. Copies. */
bool watch_run(struct orchestrator *o, const struct peer *to, uint64_t request, const char *run,
    int64_t until_ms);
int watchers_tell(struct orchestrator *o, const char *run, struct err *e); /* it is over */
int watchers_tick(struct orchestrator *o, struct err *e);
void watchers_free(struct orchestrator *o);

/* ---- reports.c: what workers say; requests.c: what clients ask ---- */
typedef int receiver(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e);
receiver report_hello, report_heartbeat, report_progress, report_log_lines, report_result,
    report_goodbye;
/* Of all sessions, as people see them. */
int request_list_workers(
    WorkerStatus ***items, size_t *n, const struct orchestrator *o, struct err *e);
receiver request_submit, request_status, request_logs, request_metrics, request_control,
    request_workers, request_labels, request_shutdown, request_stats, request_parcel;

#endif
