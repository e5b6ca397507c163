#ifndef ORCHESTRATOR_JOURNAL_H
#define ORCHESTRATOR_JOURNAL_H

#include "store/state.h"

/* What anyone has been told is durable. All rows of one turn of the loop share one commit:
 *
 *     put, put, put …  →  journal_commit  →  messages are sent
 *
 * A row is FIRM when somebody may be told what it says: the turn ends with a commit. SOFT rows
 * (progress, metrics, log lines) wait for the next firm one, or SOFT_MS. After an error the
 * orchestrator stops; it never goes on without its journal. */
struct journal;
enum firmness { SOFT, FIRM };
#define SOFT_MS 500

/* Takes the home's lock (E_BUSY) and durably raises the epoch. */
int journal_open(struct journal **out, const char *home, struct err *e);
void journal_close(struct journal *j); /* rows that were not committed are gone; NULL is fine */
uint64_t journal_epoch(const struct journal *j);

/* Sees all rows put so far; borrowed until the next journal_commit. */
int journal_txn(struct journal *j, struct state_txn **out, struct err *e);

int journal_commit(struct journal *j, int64_t now_ms, struct err *e);
bool journal_waits(const struct journal *j); /* soft rows are not yet committed */

int journal_new_run(struct journal *j, uint64_t *number, struct err *e); /* never given again */
int journal_put_run(struct journal *j, const RunRecord *r, struct err *e);
int journal_put_job(struct journal *j, const JobRecord *r, enum firmness f, struct err *e);
int journal_put_answer(
    struct journal *j, const struct id *task, const TaskAnswer *a, struct err *e);
int journal_drop_answer(struct journal *j, const struct id *task, struct err *e);
int journal_put_job_answer(
    struct journal *j, const struct id *key, const JobAnswer *a, struct err *e);
int journal_put_log(struct journal *j, uint64_t run, const LogLine *line, struct err *e);
int journal_drop_log(struct journal *j, uint64_t run, uint64_t number, struct err *e);
int journal_put_metric(struct journal *j, const MetricPoint *p, uint64_t seq, struct err *e);
int journal_drop_metric(struct journal *j, uint64_t run, uint32_t job, uint64_t seq, struct err *e);
int journal_put_label(
    struct journal *j, uint64_t run, uint32_t job, uint64_t seq, const Ranking *r, struct err *e);

/* *out is freed by message_free; NULL with OK: not there. */
int journal_answer(struct journal *j, const struct id *task, TaskAnswer **out, struct err *e);
int journal_job_answer(struct journal *j, const struct id *key, JobAnswer **out, struct err *e);
int journal_job(struct journal *j, uint64_t run, uint32_t index, JobRecord **out, struct err *e);

#endif
