#ifndef ORCHESTRATOR_CLI_FOLLOW_H
#define ORCHESTRATOR_CLI_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/view.h"

/* Shows a run's progress on stderr as it happens. On a terminal: a line for each job that settles,
 * and below them a region, redrawn, with what is at work. Elsewhere (or with TERM=dumb,
 * ACCESSIBLE=1, `plain`): a line of key=value for each event, and one for what is at work every
 * 30 s. Looks at the state, asks nobody. */
struct follow;
enum follow_end { FOLLOW_GOES_ON, FOLLOW_DONE, FOLLOW_FAILED };

/* Borrows l and v. */
int follow_open(struct follow **out, const struct command_line *l, struct view *v, const char *run,
    bool plain, struct err *e);
int follow_look(struct follow *f, int64_t now_ms, enum follow_end *end, struct err *e);
/* Takes the region away, so that something else can be said. */
void follow_pause(struct follow *f);
void follow_close(struct follow *f); /* NULL is fine */

/* The last word: the table of jobs on stdout (or the status, with --output json), the path of the
 * report, which is written, and for each failed job why, on stderr. */
int follow_finish(struct follow *f, struct err *e);

#endif
