#ifndef TESTS_SIMULATION_SIM_H
#define TESTS_SIMULATION_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "orchestrator/job.h"

/* The real orchestrator (journal, books, scheduler, fleet) with pretended workers, network and
 * disk, under virtual time. Everything that happens follows from the seed.
 *
 * Checked after every turn: the scheduler's invariants; that what is acknowledged, and what a task
 * that is given away builds on, is durable; that a committed answer is the one its task's spec
 * hashes to. Checked whenever an attempt begins: nobody else who is in touch has begun that task.
 */
#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)

struct sim_opts {
    uint64_t seed;
    int workers;
    const char *set[4]; /* settings, "base.retries=1" */
    /* chances, for each second of virtual time, until `calm` */
    double worker_dies, worker_leaves, worker_is_cut_off, worker_stalls, orchestrator_dies, babble;
    double network_splits; /* about half of the workers are cut off at once */
    double journal_fails;  /* the next commit: the orchestrator ends, and is started again */
    /* chances for each message */
    double lost, doubled, late; /* late: up to 4 s; others take 1 to 40 ms */
    double attempt_fails;       /* chance for each attempt: crash, out of memory, I/O error */
    double disk_slow;           /* chance for each commit: it takes up to 5 s */
    bool quick;                 /* tasks take a fiftieth of their time: they are given ahead */
    int64_t calm;               /* from then on nothing goes wrong */
    int runs;                   /* submissions of the pipeline; 0: one */
    int liar;                   /* what this worker (from 1) computes is wrong; 0: none */
    const char *label;          /* that the last worker alone carries; NULL: none */
};

struct sim;
struct sim *sim_start(const char *pipeline, struct sim_opts o); /* a file beside this one */
void sim_end(struct sim *s);

bool sim_run_until_done(struct sim *s, int64_t ms); /* all runs are over */
void sim_run(struct sim *s, int64_t ms);
bool sim_run_until_leased(struct sim *s, const char *job, int64_t ms);
bool sim_run_until_executions(struct sim *s, const char *job, int n, int64_t ms); /* begun */
bool sim_run_until_state(struct sim *s, const char *job, enum job_state state, int64_t ms);

void sim_kill_holder_of(
    struct sim *s, const char *job); /* SIGKILL; it is started again a second later */
void sim_cut_off_holder_of(struct sim *s, const char *job, int64_t ms);
void sim_fail_attempt_of(struct sim *s, const char *job, int cause); /* the one that runs now */
void sim_lose_result_of(struct sim *s, const char *job); /* it answers, but the store lacks it */
void sim_answer_twice(
    struct sim *s, const char *job, const char *output); /* with that, and the truth */
void sim_lose_artifact(struct sim *s, const char *job, const char *output);
void sim_kill_orchestrator(
    struct sim *s, int64_t down_ms);             /* between a turn's decisions and its commit */
void sim_cancel(struct sim *s, const char *job); /* NULL: the run */
void sim_pause(struct sim *s, const char *job);
void sim_resume(struct sim *s, const char *job);
void sim_drain(struct sim *s, const char *worker);
void sim_submit_again(struct sim *s);
void sim_label(struct sim *s, const char *job, int rankings);

/* ---- what is durable about the first run ---- */
enum job_state sim_state(struct sim *s, const char *job);
uint32_t sim_attempts(struct sim *s, const char *job);
uint32_t sim_tasks(struct sim *s, const char *job); /* run and cached */
uint32_t sim_tasks_run(struct sim *s, const char *job);
char *sim_why(struct sim *s, const char *job); /* malloc'ed */
char *sim_run_state(struct sim *s, int n);     /* malloc'ed; of the n-th run, from 1 */
char *sim_results(struct sim *s); /* malloc'ed: every output of every job, and how many tasks */
bool sim_was_told(const struct sim *s, const char *part); /* in the orchestrator's own log */
uint32_t sim_audits(struct sim *s, const char *job);      /* that agreed */
int sim_log_lines(const struct sim *s);                   /* that are kept, of all jobs */
int sim_unacknowledged(const struct sim *s);              /* results that workers still keep */
struct sim_tally {
    int worker_deaths, cuts, stalls, orchestrator_deaths, journal_failures, messages, lost;
};
struct sim_tally sim_tally(const struct sim *s);
int sim_holder_of(struct sim *s, const char *job);        /* from 1; 0: nobody has it */
int sim_executions(const struct sim *s, const char *job); /* attempts begun by workers */
int64_t sim_now(const struct sim *s);

#endif
