#ifndef ORCHESTRATOR_CLI_NAMED_H
#define ORCHESTRATOR_CLI_NAMED_H

#include "store/state.h"
#include "store/store.h"

/* The artifact that is meant by RUN/STAGE, STAGE (of the last run), either with .OUTPUT behind it
 * (else its checkpoint, or the first it has). *out is freed by message_free. E_MISSING says what
 * there is. */
int named_output(Output **out, const char *home, const char *what, struct err *e);

/* As above, or an id, or the first 8 or more of its hexadecimal digits. */
int named_artifact(
    struct id *out, struct store *s, const char *home, const char *what, struct err *e);

#endif
