#ifndef WORKERS_FORMATS_NAMING_H
#define WORKERS_FORMATS_NAMING_H

#include "workers/model/model.h"

/* How other programs call and shape our tensors. Ours are one for q, k, v and one for gate and up;
 * RoPE turns neighbouring rows (2i, 2i + 1) of a head. Theirs:
 *
 *   - may be the parts of ours;
 *   - may hold a linear layer's transpose (GPT-2's Conv1D in Hugging Face's files);
 *   - may turn rows (i, i + head/2) of a head: then rows of q and k are in another order. */

enum scheme {
    GGUF_LLAMA,
    GGUF_QWEN2, /* also turns halves, as does the next one */
    GGUF_QWEN3,
    GGUF_GPT2,
    HF_LLAMA, /* and mistral, qwen2, qwen3 */
    HF_GPT2,
    SCHEMES
};

/* One tensor as another program has it. */
struct foreign {
    char name[96];
    const struct tensor *ours;
    size_t first, rows; /* rows of ours that it is */
    size_t cols;
    bool vector;    /* of one dimension */
    bool transpose; /* there it is [cols, rows] */
    bool halves;    /* rows of each head in the other order */
    size_t head;    /* rows of a head */
};

/* Goes through all tensors of a model, in the order in which they are written: *at is 0 at first;
 * false at the end. A scalar head is left out: not every format can hold one. */
bool naming_next(struct foreign *out, const struct model *m, enum scheme s, size_t *at);

/* Their numbers, in their order, of the model's; out has room for rows x cols. */
void foreign_gather(float *out, const struct model *m, const struct foreign *f);
/* The model's numbers, of theirs. */
void foreign_scatter(struct model *m, const struct foreign *f, const float *in);

#endif
