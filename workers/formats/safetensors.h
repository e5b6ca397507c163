#ifndef WORKERS_FORMATS_SAFETENSORS_H
#define WORKERS_FORMATS_SAFETENSORS_H

#include "workers/formats/tensor_source.h"

/* Hugging Face's tensor files: 8 bytes length of a JSON header, the header, the tensors.
 * https://github.com/huggingface/safetensors */

/* ---- reading: the file's bytes are borrowed; the header is checked ---- */
struct safetensors;

/* E_INPUT: not such a file, or tensors that do not lie one behind the other, without holes, to the
 * end of the file. */
int safetensors_open(struct safetensors **out, struct span bytes, struct err *e);
void safetensors_free(struct safetensors *s);
/* As tensor_source's find; tensors of other numbers than F32, F16, BF16, or of more than two
 * dimensions, are not found. */
bool safetensors_find(const struct safetensors *s, const char *name, struct tensor_view *out);
size_t safetensors_count(const struct safetensors *s);
const char *safetensors_name(const struct safetensors *s, size_t i);

/* ---- writing: names and shapes, then the numbers in that order ---- */
struct safetensors_writer;
/* The file must not be there yet. */
int safetensors_create(struct safetensors_writer **out, const char *path, struct err *e);
/* rows = 0: a vector. Want of memory is told by the first put. */
void safetensors_tensor(
    struct safetensors_writer *w, const char *name, enum element type, size_t rows, size_t cols);
int safetensors_put(struct safetensors_writer *w, const float *p, size_t n, struct err *e);
/* The file is whole and on the disk. Takes w, freed even on failure; then there is no file. */
int safetensors_commit(struct safetensors_writer *w, struct err *e);
void safetensors_abort(struct safetensors_writer *w); /* takes the file away; NULL is fine */

#endif
