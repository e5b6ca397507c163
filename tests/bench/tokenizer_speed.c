#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "workers/text/tokenizer.h"

/* bench_tokenizer FILE THREADS: a vocabulary of 30,000 is trained on a text, which is then encoded
 * line by line. Prints seconds, MB/s (the best of some turns) and the number of tokens. Run it by
 * the script `tokenizer` beside it. */

#define VOCABULARY 30000
#define TURNS 3
#define THREADS_MAX 64

struct text {
    char *p;
    size_t n;
    const struct tokenizer *t;
    unsigned threads;
};

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int train(TokenizerModel **out, const struct text *x, int threads, struct err *e)
{
    struct tokenizer_trainer *t = NULL;
    int rc = tokenizer_trainer_new(&t, "gpt-2", threads, e);

    for (size_t at = 0, n; rc == OK && at < x->n; at += n) {
        const char *end = memchr(x->p + at, '\n', x->n - at);
        n = end ? (size_t)(end + 1 - (x->p + at)) : x->n - at;
        rc = tokenizer_trainer_add(t, x->p + at, n, e);
    }
    return rc == OK ? tokenizer_trainer_finish(t, out, VOCABULARY, "plain", e) : rc;
}

struct share {
    const struct text *x;
    unsigned number;
    size_t tokens;
    int rc;
};

/* Every threads-th line. */
static void *encode(void *ctx)
{
    struct share *s = ctx;
    const struct text *x = s->x;
    struct ids ids = { 0 };
    struct err e = ERR_INIT;
    unsigned line = 0;

    for (size_t at = 0, n; s->rc == OK && at < x->n; at += n, line++) {
        const char *end = memchr(x->p + at, '\n', x->n - at);
        n = end ? (size_t)(end + 1 - (x->p + at)) : x->n - at;
        if (line % x->threads != s->number)
            continue;
        ids.n = 0;
        s->rc = tokenizer_encode(x->t, &ids, x->p + at, n, &e);
        s->tokens += ids.n;
    }
    ids_free(&ids);
    return NULL;
}

/* MB/s, the best of some turns. */
static double encode_speed(const struct text *x)
{
    double best = 0;

    for (int turn = 0; turn < TURNS; turn++) {
        struct share shares[THREADS_MAX] = { { 0 } };
        pthread_t ids[THREADS_MAX];
        double began = seconds();
        for (unsigned i = 0; i < x->threads; i++) {
            shares[i] = (struct share){ .x = x, .number = i };
            if (pthread_create(&ids[i], NULL, encode, &shares[i]) != 0)
                exit(1);
        }
        for (unsigned i = 0; i < x->threads; i++)
            pthread_join(ids[i], NULL);
        double speed = (double)x->n / 1e6 / (seconds() - began);
        if (speed > best)
            best = speed;
    }
    return best;
}

static int measure(struct text *x, struct err *e)
{
    TokenizerModel *m = NULL;
    struct tokenizer *t = NULL;
    double began = seconds();
    int rc = train(&m, x, (int)x->threads, e);
    double trained = seconds() - began;

    if (rc == OK)
        rc = tokenizer_new(&t, m, e);
    if (rc == OK) {
        x->t = t;
        printf("%.3f %.2f %zu\n", trained, encode_speed(x), m->n_tokens);
    }
    tokenizer_free(t);
    if (m)
        message_free(m);
    return rc;
}

int main(int argc, char **argv)
{
    unsigned long threads = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    struct text x = { .threads = (unsigned)threads };
    struct err e = ERR_INIT;
    int rc;

    if (threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: bench_tokenizer FILE THREADS\n");
        return 2;
    }
    rc = file_read(&x.p, &x.n, argv[1], (size_t)1 << 32, &e);
    if (rc == OK)
        rc = measure(&x, &e);
    if (rc != OK)
        fprintf(stderr, "error: %s\n", e.msg);
    free(x.p);
    return rc == OK ? 0 : 1;
}
