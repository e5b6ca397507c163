#ifndef WORKERS_FORMATS_ELEMENT_H
#define WORKERS_FORMATS_ELEMENT_H

#include "proto/bytes.h"

/* Numbers as other programs store them, little-endian, to and from float32. */
enum element {
    ELEMENT_F32,
    ELEMENT_F16,  /* IEEE 754 binary16 */
    ELEMENT_BF16, /* the upper half of a float32 */
    ELEMENT_Q8_0, /* GGUF's blocks of 32: a binary16 scale, then 32 signed bytes */
    ELEMENTS
};

/* "f32", "f16", "bf16", "q8_0". */
const char *element_name(enum element t);
bool element_named(enum element *out, const char *name);

/* Numbers of a block; a row is a whole number of blocks. */
size_t element_block(enum element t);
/* Bytes of n numbers, n a multiple of the block; false: the product overflows. */
bool element_bytes(enum element t, uint64_t n, uint64_t *bytes);

/* out has room for element_bytes of n; rounds to the nearest, ties to even. Q8_0 as ggml's
 * quantize_row_q8_0: scale = max |x| / 127. */
void element_write(enum element t, void *out, const float *p, size_t n);
/* Exact. in need not be aligned. */
void element_read(enum element t, float *out, const void *in, size_t n);

#endif
