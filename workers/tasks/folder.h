#ifndef WORKERS_TASKS_FOLDER_H
#define WORKERS_TASKS_FOLDER_H

#include "store/store.h"
#include "workers/formats/model_import.h"

/* A folder's files, in memory. Their names are the last parts of their paths. */
struct folder {
    struct named_file *files;
    size_t n;
    uint64_t bytes, json; /* of all files; of those of JSON */
};

/* Names and sizes of those files of an artifact (FILES) that can be part of a model. E_INPUT: two
 * have the same name. */
int folder_list(struct folder *f, struct store *s, const struct id *id, struct err *e);
/* Their bytes, after folder_list. */
int folder_read(struct folder *f, struct store *s, const struct id *id, struct err *e);
void folder_free(struct folder *f); /* also after a failure */

#endif
