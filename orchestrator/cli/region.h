#ifndef ORCHESTRATOR_CLI_REGION_H
#define ORCHESTRATOR_CLI_REGION_H

#include <stdbool.h>

#include "proto/bytes.h"

/* The last lines of a terminal, redrawn in place: what is said above them scrolls up into the
 * terminal's own history. Makes bytes, writes none. */
#define REGION_LINES 12

struct region {
    char *lines[REGION_LINES]; /* as they stand on the terminal */
    int n;
};

/* Appends what turns the region into text's lines (at most `rows`, cut at `columns`); only those
 * that changed are written. "" takes it away. */
int region_draw(struct region *r, struct buf *out, const char *text, int rows, int columns);

/* Appends what puts text, whole lines, above the region. */
int region_say(struct region *r, struct buf *out, const char *text);

void region_free(struct region *r);

#endif
