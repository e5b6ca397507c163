#ifndef WORKERS_FORMATS_OUTPUT_FILE_H
#define WORKERS_FORMATS_OUTPUT_FILE_H

#include "workers/formats/element.h"

/* A new file that is whole, or is not there. */
struct output_file;

/* E_INPUT: something of this name is there already. */
int output_create(struct output_file **out, const char *path, struct err *e);
int output_write(struct output_file *f, const void *p, size_t n, struct err *e);
/* n numbers, n a multiple of the block. */
int output_elements(
    struct output_file *f, enum element type, const float *p, size_t n, struct err *e);
/* On the disk when it returns OK. Takes f, freed even on failure; then there is no file. */
int output_commit(struct output_file *f, struct err *e);
void output_abort(struct output_file *f); /* takes the file away; NULL is fine */

#endif
