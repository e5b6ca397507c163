#ifndef ORCHESTRATOR_CLI_TABLE_H
#define ORCHESTRATOR_CLI_TABLE_H

#include <stdbool.h>

#include "proto/message.h"

struct table_style {
    int columns; /* of the terminal; 0: as many as it takes */
    bool color;
    const char *home_option; /* as in struct command_line */
};

/* A run: its state in one line, what to do next, a row for each job, the workers. */
int table_run(struct buf *out, const RunStatus *s, const struct table_style *style);

/* A row for each run. */
int table_runs(struct buf *out, const StatusReply *all, const struct table_style *style);

#endif
