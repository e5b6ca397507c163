#include "workers/tasks/token_stream.h"

#include <stdlib.h>

#include "proto/task.h"
#include "workers/math/rng.h"

struct shard {
    struct artifact_reader *reader;
    uint64_t first, n; /* place of its first token in the stream; tokens */
};

struct token_stream {
    struct shard *shards;
    size_t n_shards;
    uint64_t n_tokens, n_bytes; /* tokens: with the one in front */
    int32_t end_of_text;
    size_t window; /* predictions in each window */
    size_t windows;
    int32_t *buffer; /* window + 1 tokens */
    uint32_t *order; /* permutation of pass `pass` */
    uint64_t pass, order_seed;
    int order_purpose;
    bool ordered;
};

static int shard_open(struct token_stream *t, struct store *s, const struct id *id, struct err *e)
{
    struct shard *shard = &t->shards[t->n_shards];
    int rc = artifact_open(&shard->reader, s, id, ARTIFACT_KIND__TOKENS, e);

    if (rc != OK)
        return rc;
    const Manifest *m = artifact_manifest(shard->reader);
    t->n_shards++;
    shard->first = t->n_tokens;
    shard->n = m->size / sizeof(int32_t);
    t->n_tokens += shard->n;
    t->n_bytes += (uint64_t)fact_value(m->facts, m->n_facts, "bytes", 0);
    return OK;
}

int token_stream_open(struct token_stream **out, struct store *s, const struct id *ids, size_t n,
    int32_t end_of_text, size_t context, struct err *e)
{
    struct token_stream *t = calloc(1, sizeof *t);
    int rc = OK;

    if (!t || !(t->shards = calloc(n + 1, sizeof *t->shards))) {
        free(t);
        return err_set(e, E_NOMEM, "no memory for %zu shards of tokens", n);
    }
    t->n_tokens = 1;
    t->end_of_text = end_of_text;
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = shard_open(t, s, &ids[i], e);
    if (rc == OK && t->n_tokens < 3)
        rc = err_set(e, E_INPUT, "the text is empty");
    if (rc == OK) {
        t->window = t->n_tokens - 1 < context ? (size_t)t->n_tokens - 1 : context;
        t->windows = (size_t)((t->n_tokens - 1) / t->window);
        t->buffer = malloc((t->window + 1) * sizeof *t->buffer);
        t->order = malloc(t->windows * sizeof *t->order);
        if (!t->buffer || !t->order)
            rc = err_set(e, E_NOMEM, "no memory for the order of %zu windows", t->windows);
    }
    if (rc != OK) {
        token_stream_close(t);
        return rc;
    }
    *out = t;
    return OK;
}

void token_stream_close(struct token_stream *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_shards; i++)
        artifact_close(t->shards[i].reader);
    free(t->shards);
    free(t->buffer);
    free(t->order);
    free(t);
}

size_t token_stream_windows(const struct token_stream *t)
{
    return t->windows;
}

size_t token_stream_window_tokens(const struct token_stream *t)
{
    return t->window;
}

double token_stream_bytes_per_token(const struct token_stream *t)
{
    return (double)t->n_bytes / (double)(t->n_tokens - 1);
}

/* Copies tokens [from, from + n) of the stream into the buffer. */
static int stream_read(struct token_stream *t, uint64_t from, size_t n, struct err *e)
{
    size_t got = 0;
    int rc = OK;

    if (from == 0)
        t->buffer[got++] = t->end_of_text;
    for (size_t i = 0; i < t->n_shards && got < n && rc == OK; i++) {
        const struct shard *s = &t->shards[i];
        uint64_t place = from + got;
        if (place < s->first || place >= s->first + s->n)
            continue;
        uint64_t left = s->first + s->n - place, want = n - got;
        want = want < left ? want : left;
        rc = artifact_read(s->reader, (place - s->first) * sizeof(int32_t), t->buffer + got,
            want * sizeof(int32_t), e);
        got += want;
    }
    return rc;
}

int token_stream_add(struct token_stream *t, struct rows *r, uint64_t index, uint64_t seed,
    int purpose, bool cross_documents, float weight, struct err *e)
{
    uint64_t pass = index / t->windows;

    if (!t->ordered || t->pass != pass || t->order_seed != seed || t->order_purpose != purpose) {
        rng_permutation(
            t->order, (uint32_t)t->windows, seed, (enum rng_purpose)purpose, (uint32_t)pass);
        t->ordered = true;
        t->pass = pass;
        t->order_seed = seed;
        t->order_purpose = purpose;
    }
    uint64_t from = (uint64_t)t->order[index % t->windows] * t->window;
    int rc = stream_read(t, from, t->window + 1, e);
    if (rc != OK)
        return rc;
    rows_unit(r);
    for (size_t i = 0; i < t->window; i++) {
        if (i == 0 || (!cross_documents && t->buffer[i] == t->end_of_text))
            rows_sequence(r);
        rows_token(r, t->buffer[i], t->buffer[i + 1], weight);
    }
    return OK;
}
