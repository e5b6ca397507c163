#ifndef WORKERS_FORMATS_GGUF_H
#define WORKERS_FORMATS_GGUF_H

#include "workers/formats/element.h"

/* GGUF version 3, the file format of ggml and llama.cpp: keys with values, then tensors, all
 * little-endian. A tensor's extents stand with the one that runs fastest first: a matrix of rows x
 * cols is [cols, rows]. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */

#define GGUF_DIMS 4
#define GGUF_ALIGN 32 /* bytes; when a file does not say otherwise */

/* The values of the format; those of a key or of an array. */
enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_TEXT,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES
};

/* ---- writing: keys, then tensors by name and shape, then their numbers in that order ---- */
struct gguf_writer;

/* The file must not be there yet. */
int gguf_create(struct gguf_writer **out, const char *path, struct err *e);
/* A key that cannot be written for want of memory makes gguf_commit fail; names and texts are
 * copied. */
void gguf_text(struct gguf_writer *w, const char *key, const char *value);
void gguf_number(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_real(struct gguf_writer *w, const char *key, double value); /* as float32 */
void gguf_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_texts(struct gguf_writer *w, const char *key, const struct span *values, size_t n);
void gguf_numbers(struct gguf_writer *w, const char *key, const int32_t *values, size_t n);
void gguf_reals(struct gguf_writer *w, const char *key, const float *values, size_t n);
/* rows = 0: a vector. cols is a multiple of the element's block. */
void gguf_tensor(
    struct gguf_writer *w, const char *name, enum element type, size_t rows, size_t cols);
/* The next tensor's numbers; borrows. */
int gguf_put(struct gguf_writer *w, const float *p, size_t n, struct err *e);
/* The file is whole and on the disk. Takes w, freed even on failure; then there is no file. */
int gguf_commit(struct gguf_writer *w, struct err *e);
void gguf_abort(struct gguf_writer *w); /* takes the file away; NULL is fine */

/* ---- reading: the file's bytes are borrowed; every length in them is checked ---- */
struct gguf;

struct gguf_value {
    enum gguf_type type; /* of an array: of its elements */
    bool array;
    uint64_t n; /* elements; 1 when no array */
    struct span bytes;
};

struct gguf_info {
    struct span name; /* UTF-8 is not promised */
    enum element type;
    size_t rows, cols; /* a vector has 1 row */
    struct span bytes;
};

/* E_INPUT says what is wrong, and with which key or tensor. Tensors are of known types, lie within
 * the file, aligned, and apart from each other; keys and names are not there twice. */
int gguf_open(struct gguf **out, struct span bytes, struct err *e);
void gguf_free(struct gguf *g);

const struct gguf_value *gguf_find(const struct gguf *g, const char *key); /* NULL: none */
/* A number of any type or a bool; E_INPUT: no such key, no number, or not from `least` to `most`.
 */
int gguf_get_number(const struct gguf *g, const char *key, int64_t least, int64_t most,
    int64_t *out, struct err *e);
int gguf_get_real(const struct gguf *g, const char *key, double *out, struct err *e);
int gguf_get_text(const struct gguf *g, const char *key, struct span *out, struct err *e);
/* Goes through an array of texts: *at is the place in v->bytes, 0 at first. */
struct span gguf_next_text(const struct gguf_value *v, size_t *at);
/* The i-th element of an array of numbers. */
double gguf_at(const struct gguf_value *v, size_t i);

const struct gguf_info *gguf_tensor_named(const struct gguf *g, const char *name); /* NULL: none */
size_t gguf_tensors(const struct gguf *g);
const struct gguf_info *gguf_tensor_at(const struct gguf *g, size_t i);

#endif
