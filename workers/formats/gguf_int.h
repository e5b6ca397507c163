#ifndef WORKERS_FORMATS_GGUF_INT_H
#define WORKERS_FORMATS_GGUF_INT_H

#include "workers/formats/gguf.h"

#define GGUF_VERSION 3

/* ggml's number of an element type, and which one it is; false: one that is not read here. */
uint32_t gguf_code(enum element t);
bool gguf_element(enum element *out, uint32_t code);

#endif
