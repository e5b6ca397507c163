#ifndef PIPELINES_PIPELINE_H
#define PIPELINES_PIPELINE_H

#include "proto/diag.h"
#include "proto/message.h"

/* One `--set stage.key=value`. */
struct setting {
    const char *path, *value;
};

/* Reads a pipeline file with its rubric files, applies the settings, checks everything and
 * reports every mistake at its place into d. On OK, *out is a Submit message without `inputs`
 * (the caller takes the files into the store: input paths are made absolute in it), defaults
 * filled in, freed by message_free. E_INPUT when d holds anything. */
int pipeline_load(Submit **out, const char *path, const struct setting *settings, size_t n,
    struct diags *d, struct err *e);

#endif
