#ifndef TESTS_UNIT_WORKERS_CHAIN_H
#define TESTS_UNIT_WORKERS_CHAIN_H

/* Tasks run directly, without orchestrator or daemon, in a store of their own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/task.h"
#include "store/records.h"
#include "workers/math/blas.h"
#include "workers/tasks/spec.h"
#include "workers/tasks/task.h"

struct chain {
    char home[64];
    struct store *store;
    struct engine engine;
    struct warm *warm;
    int (*progress)(void *ctx, const Progress *p); /* of tasks; NULL: none */
    void *ctx;
    uint64_t memory;   /* what tasks may take; 0: no limit */
    uint64_t resident; /* what the process had taken before them */
    struct err e;
};

static void chain_check(struct chain *c, int rc)
{
    if (rc != OK)
        fail_msg("%s", c->e.msg);
}

static void chain_start(struct chain *c, int threads)
{
    memset(c, 0, sizeof *c);
    strcpy(c->home, "/tmp/jielong-chain-XXXXXX");
    assert_non_null(mkdtemp(c->home));
    chain_check(c, store_open(&c->store, c->home, true, &c->e));
    chain_check(c, engine_init(&c->engine, NULL, threads, &c->e));
    chain_check(c, warm_new(&c->warm, &c->e));
}

static void chain_end(struct chain *c)
{
    char command[128];

    warm_free(c->warm);
    engine_free(&c->engine);
    store_close(c->store);
    snprintf(command, sizeof command, "rm -r %s", c->home);
    assert_int_equal(system(command), 0);
}

/* Forgets everything kept warm, and works with another number of threads. */
static inline void chain_cold(struct chain *c, int threads)
{
    warm_free(c->warm);
    engine_free(&c->engine);
    chain_check(c, engine_init(&c->engine, NULL, threads, &c->e));
    chain_check(c, warm_new(&c->warm, &c->e));
}

/* Takes a file of the given content in. */
static inline struct id chain_file(
    struct chain *c, const char *name, const char *content, int split)
{
    Reading how = READING__INIT;
    char path[128];
    Output *o = NULL;
    struct id id;

    how.has_split = true;
    how.split = (Split)split;
    snprintf(path, sizeof path, "%s/%s", c->home, name);
    chain_check(c, file_write(path, content, strlen(content), &c->e));
    chain_check(c, files_take(&o, c->store, path, &how, NULL, &c->e));
    id_from_span(&id, o->id.data, o->id.len);
    message_free(o);
    return id;
}

static int spec_try(TaskAnswer **out, struct chain *c, struct spec *s)
{
    struct task_context t = { .store = c->store,
        .engine = &c->engine,
        .warm = c->warm,
        .progress = c->progress,
        .ctx = c->ctx,
        .memory = c->memory,
        .resident = c->resident };

    message_fill_defaults(&s->m.base);
    return task_run(out, &t, &s->m, &c->e);
}

/* Runs it; the answer is freed by message_free. */
static TaskAnswer *spec_run(struct chain *c, struct spec *s)
{
    TaskAnswer *a = NULL;

    chain_check(c, spec_try(&a, c, s));
    return a;
}

/* Runs it: it must end with this code, and say so. */
static inline void spec_fails(struct chain *c, struct spec *s, int code, const char *words)
{
    TaskAnswer *a = NULL;

    assert_int_equal(spec_try(&a, c, s), code);
    if (!strstr(c->e.msg, words))
        fail_msg("expected '%s', got '%s'", words, c->e.msg);
}

static inline bool answer_has(const TaskAnswer *a, const char *output)
{
    struct id id;

    return answer_find(&id, a, output);
}

/* Zeros when there is none. */
static inline struct id answer_id(const TaskAnswer *a, const char *output)
{
    struct id id = { { 0 } };

    answer_find(&id, a, output);
    return id;
}

static inline double answer_metric_of(const TaskAnswer *a, const char *name)
{
    for (size_t i = 0; i < a->n_metrics; i++)
        if (strcmp(a->metrics[i]->name, name) == 0)
            return a->metrics[i]->value;
    fail_msg("no metric %s", name);
    return 0;
}

#endif
