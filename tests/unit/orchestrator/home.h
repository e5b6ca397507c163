#ifndef TESTS_UNIT_ORCHESTRATOR_HOME_H
#define TESTS_UNIT_ORCHESTRATOR_HOME_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "orchestrator/field.h"
#include "pipelines/pipeline.h"
#include "store/state.h"

/* A home folder of its own for each test, and a pipeline of three stages in it. */

static inline char *home_new(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path = malloc(256);

    snprintf(path, 256, "%s/jielong-test-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void home_remove(char *home)
{
    char command[512];

    snprintf(command, sizeof command, "rm -rf '%s'", home);
    assert_int_equal(system(command), 0);
    free(home);
}

static inline Submit *small_submit(const char *home)
{
    static const char text[] = "name: small\n"
                               "inputs: {corpus: small.yaml, prompts: small.yaml}\n"
                               "stages:\n"
                               "  vocabulary: {kind: tokenizer, text: corpus}\n"
                               "  base:\n"
                               "    kind: pretrain\n"
                               "    tokenizer: vocabulary\n"
                               "    text: corpus\n"
                               "    model: {layers: 1, width: 16, heads: 2, context: 128}\n"
                               "    steps: 600\n"
                               "  answers: {kind: sample, model: base, prompts: prompts}\n";
    struct err e = ERR_INIT;
    struct diags *d = diags_new();
    Submit *s = NULL;
    char path[512];

    snprintf(path, sizeof path, "%s/small.yaml", home);
    assert_int_equal(file_write(path, text, strlen(text), &e), OK);
    assert_int_equal(pipeline_load(&s, path, NULL, 0, d, &e), OK);
    diags_free(d);
    return s;
}

#endif
