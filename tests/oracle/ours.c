#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/model/generator.h"
#include "workers/text/tokenizer.h"

/* ours HOME CHECKPOINT FILE: what this program computes, as JSON, for another one to be compared
 * with: of each line of FILE its ids, the greedy continuation, and log p of each id. Every line
 * begins with the end-of-text token, as in training. */

#define NEW_TOKENS 24

static struct engine engine;

static int print_ids(const char *name, const int32_t *ids, size_t n)
{
    printf("\"%s\": [", name);
    for (size_t i = 0; i < n; i++)
        printf("%s%d", i ? ", " : "", ids[i]);
    return printf("], ");
}

static int log_probs(const struct model *m, const struct ids *ids, struct err *e)
{
    const uint32_t start[2] = { 0, (uint32_t)ids->n };
    const struct batch b = {
        .n_sequences = 1, .n_tokens = ids->n, .start = start, .tokens = ids->p
    };
    struct workspace *w = NULL;
    int32_t *target = calloc(ids->n, sizeof *target);
    float *log_prob = calloc(ids->n, sizeof *log_prob);
    int rc = target && log_prob ? workspace_new(&w, &m->config, ids->n, 0, e) : E_NOMEM;

    if (rc == OK) {
        for (size_t i = 0; i < ids->n; i++)
            target[i] = i + 1 < ids->n ? ids->p[i + 1] : -1;
        transformer_forward(w, &engine, m, &b);
        transformer_log_probs(w, &engine, m, target, 1, log_prob, NULL);
        printf("\"log_probs\": [");
        for (size_t i = 0; i + 1 < ids->n; i++)
            printf("%s%.6f", i ? ", " : "", (double)log_prob[i]);
        printf("]");
    }
    workspace_free(w);
    free(target);
    free(log_prob);
    return rc;
}

static int answer(
    const struct model *m, const struct tokenizer *t, const char *line, size_t n, struct err *e)
{
    int32_t tokens[NEW_TOKENS];
    struct ids ids = { 0 };
    struct generation g = { .tokens = tokens };
    const struct generator_options o = {
        .sampler = { .temperature = 0, .top_p = 1 }, .max_new = NEW_TOKENS, .slots = 1
    };
    ids.p = malloc(sizeof *ids.p);
    ids.cap = ids.p != NULL;
    int rc = ids.p ? OK : E_NOMEM;

    if (rc == OK)
        ids.p[ids.n++] = (int32_t)tokenizer_model(t)->end_of_text;
    if (rc == OK)
        rc = tokenizer_encode(t, &ids, line, n, e);
    g.prompt = ids.p;
    g.n_prompt = ids.n;
    if (rc == OK)
        rc = generate(&engine, m, &g, 1, &o, NULL, NULL, e);
    if (rc == OK) {
        printf("{");
        print_ids("ids", ids.p, ids.n);
        print_ids("greedy", g.tokens, g.n_tokens);
        rc = log_probs(m, &ids, e);
        printf("}");
    }
    ids_free(&ids);
    return rc;
}

static int answer_all(
    const struct model *m, const struct tokenizer *t, const char *text, struct err *e)
{
    int rc = OK;

    printf("[");
    for (const char *at = text; rc == OK && *at; at += strcspn(at, "\n") + 1) {
        size_t n = strcspn(at, "\n");
        printf("%s", at == text ? "\n" : ",\n");
        rc = answer(m, t, at, n, e);
        if (!at[n])
            break;
    }
    printf("\n]\n");
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;
    struct model *m = NULL;
    struct tokenizer *t = NULL;
    char *text = NULL;
    struct id id;
    size_t n;

    if (argc != 4 || !id_parse(&id, argv[2]))
        return 2;
    int rc = file_read(&text, &n, argv[3], 1 << 20, &e);
    if (rc == OK)
        rc = engine_init(&engine, NULL, 2, &e);
    if (rc == OK)
        rc = store_open(&s, argv[1], false, &e);
    if (rc == OK)
        rc = model_load(&m, s, &id, "", &e);
    if (rc == OK)
        rc = tokenizer_load(&t, s, &m->tokenizer, &e);
    if (rc == OK)
        rc = answer_all(m, t, text, &e);
    if (rc != OK)
        fprintf(stderr, "error: %s\n", e.msg);
    tokenizer_free(t);
    model_free(m);
    store_close(s);
    engine_free(&engine);
    free(text);
    return rc == OK ? 0 : 1;
}
