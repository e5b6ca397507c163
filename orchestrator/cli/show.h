#ifndef ORCHESTRATOR_CLI_SHOW_H
#define ORCHESTRATOR_CLI_SHOW_H

#include <stdbool.h>

#include "proto/message.h"

/* How jobs and log lines look to people: pure text, made of what the state says. State is a word
 * and a glyph, never colour alone; widths are columns of our own width table; what comes from data
 * or programs is shown with its control bytes escaped. All append; OK or E_NOMEM. */

int show_duration(char *out, unsigned size, double seconds); /* 4.0s, 12s, 4m12s, 2h31m */

/* "✓ done"; padded to `columns`, and coloured. */
int show_state(struct buf *out, const char *state, int columns, bool color);

/* Parts of a job's row; "-" where there is nothing to say. */
#define SHOW_PART 48
void show_progress(char out[SHOW_PART], const JobStatus *j); /* 412/800 51%, 800/800 */
void show_rate(char out[SHOW_PART], const JobStatus *j);     /* 41.2k tok/s */
void show_left(char out[SHOW_PART], const JobStatus *j);     /* ~27m, or (4m12s): it took so long */
void show_tries(char out[SHOW_PART], const JobStatus *j);    /* 1, 2/3 */
void show_size(char out[SHOW_PART], uint64_t bytes);         /* 12 B, 3.4 MiB */

/* A job that has settled, for the terminal's history: "09:16:31 ✓ base  4m12s  loss 1.94". */
int show_verdict(struct buf *out, const JobStatus *j, int64_t now_unix_ms, bool color);
/* A job at work, for a region that is redrawn: "▸ chat  412/800 51%  left 27m  w1  reward 1.31". */
int show_working(struct buf *out, const JobStatus *j);
/* The same for programs and screen readers: "t=2026-… run=x-1 job=chat state=running step=412/800".
 */
int show_event(struct buf *out, const RunStatus *s, const JobStatus *j, int64_t now_unix_ms);

/* A line of a log: "chat/w1 07:44:10 words"; times in ISO-8601 unless `brief`. */
int show_log_line(struct buf *out, const LogLine *line, bool brief);

/* A failed job: what, why, which try, its last log lines (log may be NULL) and what to type next.
 * home_option: as in struct command_line. */
int show_failure(struct buf *out, const RunStatus *s, const JobStatus *j, const LogsReply *log,
    const char *home_option);

/* s with control bytes escaped; NULL adds nothing. */
int show_text(struct buf *out, const char *s);
/* The same, but a line of s is a line: `before` stands in front of each one but the first. */
int show_lines(struct buf *out, const char *s, const char *before);

/* "6 agree, 1 is open": what became of a job's audits; nothing when it had none. */
bool show_has_audits(const JobStatus *j);
int show_audits(struct buf *out, const JobStatus *j);

#endif
