#ifndef TESTS_BENCH_ORCH_H
#define TESTS_BENCH_ORCH_H

#include <stdatomic.h>
#include <sys/types.h>

#include "proto/socket.h"
#include "store/store.h"
#include "tests/bench/bench.h"

/* How fast tasks, results and artifacts move: `orchestration` prints a table.
 *
 * Orchestrator and workers are the product's own daemons, in processes of their own, over TCP with
 * CURVE. Only the executor is the bench's: it answers every task at once, without computing, with
 * artifacts that were put into the store before. */

#define WORKERS 2

/* ---- orch_limits.c: what the machine can do at most, by loops that do nothing else ---- */
struct limits {
    double sync;   /* s: 4 KiB into a file that has its size, and fdatasync */
    double trip;   /* s: one byte over TCP on this host, there and back */
    double hash;   /* bytes/s: SHA-256, one core */
    double socket; /* bytes/s: over TCP on this host */
};
int limits_measure(struct limits *l, const char *folder, struct err *e);

/* A plain file: rows about bytes are measured in turns with it, with the same bytes. n is a
 * multiple of 1 MiB. *took: seconds. raw_close also after raw_open has failed. */
struct raw {
    char path[300], *map;
    int fd;
    size_t n;
};
int raw_open(struct raw *r, const char *folder, size_t n, struct err *e);
int raw_write(double *took, const struct raw *r, const void *from, struct err *e); /* and fsync */
void raw_read(double *took, const struct raw *r, void *to); /* from its map */
void raw_close(struct raw *r);

/* ---- orch_shared.c: what the bench and its executors both see ---- */
#define POOL 1100 /* artifacts that executors answer with */
struct shared {
    atomic_int hold;        /* executors wait while it is set */
    atomic_ullong epoch;    /* of the latest attempt … */
    _Atomic double changed; /* … and when it became that */
    atomic_ullong executed;
    struct id pool[POOL];
};
int shared_open(struct shared **out, const char *home, bool make, struct err *e);
void shared_close(struct shared *s);
int noop_executor(const char *home); /* exit status */

/* ---- orch_scene.c: a home with its daemons, and a client ---- */
struct scene {
    char home[256], listen[64], key[300];
    pid_t orchestrator, workers[WORKERS];
    struct net *net;
    struct socket *client;
    uint64_t request;
    struct shared *shared;
    Output *input; /* artifact that pipelines take in */
};
int scene_open(struct scene **out, const char *folder, struct err *e);
void scene_close(struct scene *s); /* ends the daemons; NULL is fine */
int scene_start_orchestrator(struct scene *s, struct err *e);
void scene_kill_orchestrator(struct scene *s);

/* Sends n runs of a pipeline's text, in which every `%d` is replaced by the run's number from
 * `first`, then waits until all of them are over. *took: seconds from the first one's sending. */
int scene_run(struct scene *s, const char *text, int first, int n, double *took, size_t *tasks,
    struct err *e);
/* Only sends one. */
int scene_submit(struct scene *s, const char *text, int number, struct err *e);
int daemon_main(int argc, char **argv); /* what the bench's own processes are; -1: not one */

/* ---- rows ---- */
struct orch {
    const char *only;
    bool quick, help;
    char folder[128];
    size_t checkpoint_bytes;
    struct limits limits;
    struct scene *scene; /* opened by the first row that needs it */
};

/* What a row has measured. */
struct figure {
    double value, limit; /* in the row's unit; limit 0: there is none */
    char note[96];
};
typedef int measure_function(struct orch *o, struct figure *f, struct err *e);
measure_function tasks_row, latency_row, chain_row, pipelines_row, restart_row; /* orch_tasks.c */
measure_function put_row, get_row, carry_plain_row, carry_curve_row;            /* orch_store.c */
measure_function sched_row, sched_growth_row;                                   /* orch_sched.c */

double median(double *x, size_t n); /* sorts x */

#endif
