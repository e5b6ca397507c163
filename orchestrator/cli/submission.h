#ifndef ORCHESTRATOR_CLI_SUBMISSION_H
#define ORCHESTRATOR_CLI_SUBMISSION_H

#include "proto/message.h"
#include "proto/options.h"

/* Loads and checks a pipeline file under the settings "stage.key=value"; prints every mistake.
 * *out is freed by message_free. On failure *exit_code says how the command ends, and *mistakes
 * (may be NULL) how many were found. */
int submission_load(Submit **out, const char *file, const struct option_texts *settings,
    size_t *mistakes, int *exit_code);

/* Takes the input files into the home's store. */
int submission_take_inputs(Submit *m, const char *home, struct err *e);

/* The row of `--set`, for a command's table. */
#define SUBMISSION_SET(settings)                                              \
    {                                                                         \
        "set", 0, OPTION_TEXTS, settings, "STAGE.KEY=VALUE",                  \
            "put a value in place of the file's; may be repeated", 0, 0, NULL \
    }

#endif
