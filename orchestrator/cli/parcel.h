#ifndef ORCHESTRATOR_CLI_PARCEL_H
#define ORCHESTRATOR_CLI_PARCEL_H

#include "orchestrator/cli/command.h"
#include "proto/bytes.h"
#include "store/store.h"

/* `jielong artifacts export WHAT FILE`, from the home's store; - is standard output. Appends what
 * is to be printed. */
int parcel_export(struct buf *out, const struct command_line *l, struct store *s, const char *what,
    const char *path, struct err *e);
/* `jielong artifacts import FILE`, into the home, which is made where there is none; - is standard
 * input. */
int parcel_import(struct buf *out, const struct command_line *l, const char *path, struct err *e);

#endif
