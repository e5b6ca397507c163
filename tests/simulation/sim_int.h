#ifndef TESTS_SIMULATION_SIM_INT_H
#define TESTS_SIMULATION_SIM_INT_H

#include "orchestrator/orchestrator.h"
#include "orchestrator/scheduler.h"
#include "pipelines/plan.h"
#include "proto/id_set.h"
#include "tests/simulation/sim.h"
#include "tests/simulation/sim_disk.h"

enum happening_kind {
    AT_ORCHESTRATOR,
    AT_WORKER,
    BEAT,
    ATTEMPT_ENDS,
    WORKER_STARTS,
    ORCHESTRATOR_STARTS,
    CLIENT_ASKS,
    FAULTS
};

struct happening {
    int64_t at;
    uint64_t seq; /* of what happens in the same millisecond, the older first */
    enum happening_kind kind;
    int worker;       /* -1: the client */
    uint64_t life;    /* of that worker: what a dead one had planned does not happen */
    struct peer peer; /* the connection it was sent over */
    struct buf frame; /* a message */
    struct ref ref;   /* ATTEMPT_ENDS */
};

struct held {
    struct ref ref;
    TaskSpec *spec;
    char *label;
    Cause fails; /* 0: it does not */
    bool begun;
    bool vanishes; /* what it makes never reaches the store */
};

#define HELD_MAX 64
#define FINISHED_MAX 256
struct fake_worker {
    int index;
    bool up, welcome;
    uint64_t life;
    char id[40];
    struct peer peer;
    int64_t heard, cut_until, stalled_until; /* stalled: does nothing, and does not know it */
    struct held held[HELD_MAX];              /* the first runs */
    size_t n_held;
    Result *finished[FINISHED_MAX];
    size_t n_finished;
};

#define WORKERS_MAX 256
struct sim {
    struct sim_opts opts;
    uint64_t random;
    int64_t now, tick_at, disk_until; /* the orchestrator waits for its disk until then */
    uint64_t seq, peers;
    struct happening *heap;
    size_t n_heap, cap_heap;
    struct orchestrator *o; /* NULL: down */
    bool crashes;           /* at the end of this turn, instead of its commit */
    int64_t down_ms;
    struct fake_worker workers[WORKERS_MAX];
    Submit *submit;
    struct plan *plan;
    int submitted;
    int64_t asked_at;   /* the client waits for an answer since; 0: it does not */
    int executions[64]; /* by job of the plan */
    struct sim_tally tally;
    uint64_t looked_at; /* version of the runs' table when they were not yet all over */
    bool trace;
    struct id_set audits; /* that were ever given */
    bool cancelled;       /* something was: its results are acknowledged, and dropped */
    bool lied;            /* the test has committed an answer that is not its task's */
    struct buf told;      /* the orchestrator's own log */
};

double sim_chance(struct sim *s); /* uniform in [0, 1) */
int64_t sim_between(struct sim *s, int64_t a, int64_t b);
struct peer sim_new_peer(struct sim *s);
void sim_plan(struct sim *s, struct happening h); /* takes h.frame */
void sim_post(
    struct sim *s, struct fake_worker *w, Envelope *m); /* over the network; NULL: the client */
int sim_job(const struct sim *s, const char *name);     /* its index in the plan */
bool sim_run_until(
    struct sim *s, int64_t ms, bool (*reached)(struct sim *s, const void *what), const void *what);

/* sim_world.c, for sim_deeds.c */
struct happening sim_take_first(struct sim *s);
void sim_must(int rc, const struct err *e);
void sim_orchestrator_starts(struct sim *s);
void sim_end_turn(struct sim *s);
void sim_client_asks(struct sim *s);

/* sim_worker.c */
void worker_start(struct sim *s, struct fake_worker *w);
void worker_stop(struct sim *s, struct fake_worker *w, bool goodbye);
void worker_beat(struct sim *s, struct fake_worker *w);
void worker_hears(struct sim *s, struct fake_worker *w, const Envelope *m);
void worker_ends(struct sim *s, struct fake_worker *w, const struct ref *ref);
void worker_free(struct fake_worker *w);
/* Says something about an attempt that is not its own, or out of place. */
void worker_babbles(struct sim *s, struct fake_worker *w);
/* Answers the attempt that it runs with `output`, before the true answer. */
void worker_answers_early(struct sim *s, struct fake_worker *w, const char *output);

/* sim_check.c: what must never be seen. Each aborts, and says the seed. */
void check_wipe(void);
void check_made(const struct id *artifact); /* by a worker; nobody may know it yet */
void check_letter(struct sim *s, const struct fake_worker *w, const Envelope *m); /* that leaves */
void check_commit(struct sim *s); /* that was made just now */
void check_begin(struct sim *s, const struct fake_worker *w, const struct held *h);

/* sim_task.c: what a worker would answer; ids follow from the spec alone */
TaskAnswer *pretend(const TaskSpec *spec);
void pretended_id(struct id *out, const struct id *task, const char *output);
int64_t pretended_ms(const TaskSpec *spec);
void pretend_forget(void);

#endif
