#ifndef WORKERS_MATH_RNG_H
#define WORKERS_MATH_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a pure
 * function of (seed, purpose, step, item, lane). Purposes never share a stream. */
enum rng_purpose {
    RNG_INIT = 1, /* weights: step = tensor's index, item = element / 4 */
    RNG_SHUFFLE,  /* order of examples: step = epoch */
    RNG_SAMPLE,   /* next token: step = position, item = sequence */
    RNG_NOISE,    /* rubric's noise */
    RNG_PTX,      /* pretraining rows mixed in */
    RNG_PROMPT,   /* prompts of an iteration */
    RNG_DROPOUT,  /* step = optimiser step, item: workers/model/dropout.c */
};

void philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* Four words for (seed, purpose, step, item). */
void rng_words(
    uint32_t out[4], uint64_t seed, enum rng_purpose purpose, uint32_t step, uint64_t item);

/* [0, 1), 53 bits */
double rng_uniform(uint64_t seed, enum rng_purpose purpose, uint32_t step, uint64_t item);

/* Standard normal by Box-Muller in double precision; n values for items 0, 1, …. */
void rng_normal(float *out, size_t n, uint64_t seed, enum rng_purpose purpose, uint32_t step);

/* A permutation of 0..n-1 (Fisher-Yates). */
void rng_permutation(
    uint32_t *out, uint32_t n, uint64_t seed, enum rng_purpose purpose, uint32_t step);

#endif
