#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/records.h"
#include "workers/text/documents.h"

/* Memory does not grow with the file: 2 GB of JSON Lines go through within 300 MB. */

#define FILE_BYTES ((uint64_t)2000000000)
#define MEMORY ((rlim_t)300 << 20)
#define EVERY 1000 /* so many records, then the last once more */

static uint64_t write_lines(const char *path, uint64_t *copies)
{
    static char filler[900];
    FILE *f = fopen(path, "w");
    uint64_t n = 0, bytes = 0;

    assert_non_null(f);
    memset(filler, 'x', sizeof filler - 1);
    for (; bytes < FILE_BYTES; n++) {
        uint64_t number = n % EVERY == EVERY - 1 ? n - 1 : n;
        *copies += number != n;
        bytes += (uint64_t)fprintf(f, "{\"text\": \"document %llu\\n%s \\u4e16\\u754c\"}\n",
            (unsigned long long)number, filler);
    }
    assert_int_equal(fclose(f), 0);
    return n;
}

static int count(void *ctx, const char *text, size_t n, struct err *e)
{
    (void)text, (void)n, (void)e;
    ++*(uint64_t *)ctx;
    return OK;
}

/* In a process of its own: everything it writes to counts, what it maps of the store to read does
 * not. */
static int take_in(const char *home, const char *path, uint64_t records, uint64_t copies)
{
    struct rlimit limit = { MEMORY, MEMORY };
    struct intake *im = NULL;
    struct store *s = NULL;
    struct err e = ERR_INIT;
    Output *o = NULL;
    struct id id = { 0 };
    uint64_t n = 0;
    int rc = setrlimit(RLIMIT_DATA, &limit) == 0 ? OK : err_errno(&e, "setrlimit");

    if (rc == OK)
        rc = store_open(&s, home, true, &e);
    if (rc == OK)
        rc = files_take(&o, s, path, NULL, NULL, &e);
    if (rc == OK)
        rc = intake_new(&im, &e);
    if (rc == OK) {
        id_from_span(&id, o->id.data, o->id.len);
        rc = documents_each(im, s, &id, count, &n, &e);
    }
    if (rc != OK) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    const struct intake_counts *c = intake_counts(im);
    if (c->read == records && c->fates[FATE_DUPLICATE] == copies && n == records - copies)
        return 0;
    fprintf(stderr, "%llu read, %llu copies, %llu given\n", (unsigned long long)c->read,
        (unsigned long long)c->fates[FATE_DUPLICATE], (unsigned long long)n);
    return 1;
}

static void two_gigabytes_are_taken_in_within_300_megabytes(void **state)
{
    char home[] = "/tmp/jielong-large-XXXXXX", path[64], command[64];
    uint64_t copies = 0, records;
    int status = 0;

    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* the sanitizer's own memory is larger than all of this */
#endif
    assert_non_null(mkdtemp(home));
    snprintf(path, sizeof path, "%s/large.jsonl", home);
    snprintf(command, sizeof command, "rm -rf %s", home);
    records = write_lines(path, &copies);
    pid_t child = fork();
    if (child == 0)
        _exit(take_in(home, path, records, copies));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(system(command), 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_gigabytes_are_taken_in_within_300_megabytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
