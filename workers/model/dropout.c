#include "workers/math/rng.h"
#include "workers/model/transformer_int.h"

/* One call of the generator serves four numbers. Its item numbers (token of the step, layer, site,
 * four columns): forward, backward and the second forward draw the same, and how a step is cut
 * into batches, tiles and threads does not matter. */

#define WORDS 4

void dropout_rows(
    const struct pass *p, enum dropout_site site, float *y, const float *x, size_t first, size_t n)
{
    const struct dropout *d = p->dropout;
    size_t c = p->w->s.width, calls = (c + WORDS - 1) / WORDS;
    const uint32_t threshold = (uint32_t)(d->rate * 0x1p32);
    const float scale = (float)(1 / (1 - d->rate));

    for (size_t r = 0; r < n; r++) {
        uint64_t token = d->first + pass_token(p, first + r);
        uint64_t item = ((token * p->w->s.layers + p->layer) * DROPOUT_SITES + site) * calls;
        for (size_t i = 0; i < c; i += WORDS, item++) {
            uint32_t words[WORDS];
            rng_words(words, d->seed, RNG_DROPOUT, d->step, item);
            for (size_t k = i; k < c && k < i + WORDS; k++)
                y[r * c + k] = words[k - i] < threshold ? 0 : scale * x[r * c + k];
        }
    }
}
