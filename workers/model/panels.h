#ifndef WORKERS_MODEL_PANELS_H
#define WORKERS_MODEL_PANELS_H

#include "workers/model/model.h"

/* A model's matrices as decoding wants them: packed once for many tokens. Depends on the kernels'
 * set; outlives neither the engine nor changes of the weights. */
struct panels;

int panels_new(struct panels **out, const struct engine *en, const struct model *m,
    enum precision precision, struct err *e);
void panels_free(struct panels *p);
size_t panels_bytes(const struct panels *p);
/* What panels_new takes for a model of this configuration. */
size_t panels_need(const struct engine *en, const ModelConfig *c, enum precision precision);

#endif
