#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "proto/message.h"
#include "workers/math/engine.h"

/* How fast the learning engine is: `learning` prints a table.
 *
 * A row is measured by a process of its own, which does as much as it is told to and says how long
 * that took. Ours and a peer's are told in turns, so that both meet the same state of the machine,
 * and the peak memory of a row is its own. */

/* GPT-2 with tied embeddings, so that peers compute the same. */
struct size {
    const char *name;
    uint32_t layers, width, heads, vocabulary, context, batch;
};

enum kind { TRAIN, DECODE, PPO };

struct work {
    enum kind kind;
    const char *name;
    const struct size *size;
    const char *precision; /* fp32, bf16 */
    uint32_t sequences;    /* decoded together; PPO: episodes of an iteration */
};

#define PROMPT_DECODE 8 /* tokens */
#define PROMPT_PPO 32
#define NEW_TOKENS 64
#define MINIBATCHES 4 /* of a PPO iteration */

static inline double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

ModelConfig size_config(const struct size *s);
/* Parameters without the table of positions: what the work of a token is counted by. */
double size_parameters(const struct size *s);
/* Of a training step, each token: 6 N + 12 L d T (Kaplan et al. 2020, table 1; Chowdhery et al.
 * 2022, app. B). */
double size_train_flops(const struct size *s);

/* ---- runner.c: the processes ---- */

/* Where a row's process hears what to do, and answers. */
struct turns {
    FILE *in, *out;
    double computed;         /* bytes that the row should need; 0: not known */
    const struct work *work; /* to be profiled; NULL: not */
    int threads;
    unsigned n; /* of the turn that goes on */
};

/* Waits for the next turn: true, and *n units of work are wanted (0: a short warm-up). */
bool turns_next(struct turns *t, unsigned *n);
/* Answers with the seconds of each part of the turn. */
void turns_answer(struct turns *t, const double *parts, size_t n);

#define PARTS_MAX 6
struct runner;
typedef int serve_function(
    struct turns *t, const struct work *w, const struct engine *en, struct err *e);

/* A child of ours that serves w, or torch_peer.py told to open something. `profile`: the child
 * prints where each turn's time went. *out is freed by runner_close. */
int runner_open(
    struct runner **out, const struct work *w, int threads, bool profile, struct err *e);
int runner_open_peer(struct runner **out, const char *open, int threads, struct err *e);
int runner_turn(struct runner *r, unsigned n, double parts[PARTS_MAX], struct err *e);
/* Peak memory in bytes, and what was computed; takes r. */
int runner_close(struct runner *r, double *peak, double *computed, struct err *e);

/* ---- what a row's process does ---- */
serve_function serve_train, serve_decode, serve_ppo;

/* ---- machine.c: what the machine can do at most, by loops that do nothing else ---- */
struct machine {
    double fp32, bf16; /* FLOP/s; bf16 0: no such instruction */
    double reads;      /* bytes/s, from memory */
};
void machine_name(char *out, size_t size); /* of the processor */
void machine_measure(struct machine *m, const struct engine *en);
/* How many cores other programs have kept busy since the last call: what was measured meanwhile
 * is right only if that is about 0. */
double machine_others(void);
/* Seconds of the matrix products of a training step of this row, and of nothing else. */
int machine_gemms(double *out, const struct work *w, const struct engine *en, struct err *e);

#endif
