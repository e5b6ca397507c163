#ifndef PIPELINES_LOCATE_H
#define PIPELINES_LOCATE_H

#include "pipelines/mistakes.h"
#include "proto/message.h"
#include "proto/yaml.h"

/* Where in a file a site is; false: it is not written there, and the place is where it would
 * belong. p may be NULL for sites of SITE_PIPELINE. */
bool site_place(const struct site *at, const struct yaml_node *root, const Pipeline *p, int *line,
    int *column, int *width);

/* Whether a setting's path (stage.key) sets what is there. */
bool site_covers(const struct site *at, const Pipeline *p, const char *path);

#endif
