#include "workers/tasks/rows.h"

#include <assert.h>
#include <stdlib.h>

int rows_init(struct rows *r, size_t units, size_t sequences, size_t tokens, struct err *e)
{
    *r = (struct rows){ .max_units = units, .max_sequences = sequences, .max_tokens = tokens };
    r->unit = calloc(units + 1, sizeof *r->unit);
    r->start = calloc(sequences + 1, sizeof *r->start);
    r->tier = calloc(sequences + 1, sizeof *r->tier);
    r->tokens = calloc(tokens + 1, sizeof *r->tokens);
    r->target = calloc(tokens + 1, sizeof *r->target);
    r->weight = calloc(tokens + 1, sizeof *r->weight);
    bool ok = r->unit && r->start && r->tier && r->tokens && r->target && r->weight;
    for (int i = 0; i < ROW_COLUMNS; i++) {
        r->column[i] = calloc(tokens + 1, sizeof(float));
        ok = ok && r->column[i];
    }
    if (ok)
        return OK;
    rows_free(r);
    return err_set(e, E_NOMEM, "no memory for a batch of %zu tokens", tokens);
}

void rows_free(struct rows *r)
{
    free(r->unit);
    free(r->start);
    free(r->tier);
    free(r->tokens);
    free(r->target);
    free(r->weight);
    for (int i = 0; i < ROW_COLUMNS; i++)
        free(r->column[i]);
    *r = (struct rows){ 0 };
}

size_t rows_bytes(const struct rows *r)
{
    const size_t token = sizeof *r->tokens + sizeof *r->target + sizeof *r->weight +
                         sizeof r->column / sizeof *r->column * sizeof(float);

    return r->max_units * sizeof *r->unit +
           r->max_sequences * (sizeof *r->start + sizeof *r->tier) + r->max_tokens * token;
}

void rows_clear(struct rows *r)
{
    r->n_units = r->n_sequences = r->n_tokens = 0;
}

void rows_unit(struct rows *r)
{
    assert(r->n_units < r->max_units);
    r->unit[r->n_units++] = (uint32_t)r->n_sequences;
    r->unit[r->n_units] = (uint32_t)r->n_sequences;
}

size_t rows_sequence(struct rows *r)
{
    assert(r->n_units > 0 && r->n_sequences < r->max_sequences);
    r->start[r->n_sequences++] = (uint32_t)r->n_tokens;
    r->start[r->n_sequences] = (uint32_t)r->n_tokens;
    r->unit[r->n_units] = (uint32_t)r->n_sequences;
    return r->n_tokens;
}

void rows_token(struct rows *r, int32_t token, int32_t target, float weight)
{
    assert(r->n_sequences > 0 && r->n_tokens < r->max_tokens);
    r->tokens[r->n_tokens] = token;
    r->target[r->n_tokens] = target;
    r->weight[r->n_tokens] = weight;
    r->start[r->n_sequences] = (uint32_t)++r->n_tokens;
}

size_t rows_micro(const struct rows *r, size_t first, size_t budget, uint32_t *start,
    struct batch *out, size_t *token0)
{
    uint32_t s0 = r->unit[first], t0 = r->start[s0];
    size_t last = first + 1;

    while (last < r->n_units && r->start[r->unit[last + 1]] - t0 <= budget)
        last++;
    uint32_t s1 = r->unit[last];
    for (uint32_t s = s0; s <= s1; s++)
        start[s - s0] = r->start[s] - t0;
    *token0 = t0;
    *out = (struct batch){ .n_sequences = s1 - s0,
        .n_tokens = r->start[s1] - t0,
        .start = start,
        .tokens = r->tokens + t0,
        .asked = r->target + t0 };
    return last;
}
