#ifndef WORKERS_FORMATS_TENSOR_SOURCE_H
#define WORKERS_FORMATS_TENSOR_SOURCE_H

#include "workers/formats/element.h"
#include "workers/formats/model_import.h"
#include "workers/formats/naming.h"

/* Tensors of a file by name, whatever the file. */
struct tensor_view {
    enum element type;
    size_t rows, cols; /* a vector has 1 row */
    struct span bytes; /* borrowed from the file */
};

struct tensor_source {
    const void *file;
    /* False: there is no tensor of this name that can be read. */
    bool (*find)(const void *file, const char *name, struct tensor_view *out);
    /* Of the i-th tensor, whether it can be read or not; p = NULL: there are no more. */
    struct span (*name)(const void *file, size_t i);
};

/* An empty model of a file that has so many bytes of tensors. E_INPUT: a configuration for which
 * that is far too little; else a hostile one could ask for any amount of memory. */
int model_new_of(struct model **out, const ModelConfig *c, uint64_t bytes,
    const struct import_options *o, struct err *e);

/* All tensors that the model has, as the scheme names them. E_INPUT: one is missing, has another
 * shape than the configuration says or numbers that are not finite; or the file has one that such a
 * model has no place for. */
int model_fill(struct model *m, enum scheme s, const struct tensor_source *source, struct err *e);

#endif
