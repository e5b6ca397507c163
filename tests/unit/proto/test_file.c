#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/bytes.h"

static char folder[256];

static int make_folder(void **state)
{
    const char *base = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof folder, "%s/proto-file-XXXXXX", base ? base : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static const char *path_of(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path_of("a"));
    return rmdir(folder);
}

static size_t files_in_folder(void)
{
    DIR *d = opendir(folder);
    size_t n = 0;

    assert_non_null(d);
    for (struct dirent *one = readdir(d); one; one = readdir(d))
        n += one->d_name[0] != '.';
    closedir(d);
    return n;
}

static void a_file_reads_back_as_it_was_written(void **state)
{
    struct err e = ERR_INIT;
    char big[200000], *p;
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 31);
    assert_int_equal(file_write(path_of("a"), big, sizeof big, &e), OK);
    assert_int_equal(file_read(&p, &n, path_of("a"), sizeof big, &e), OK);
    assert_int_equal(n, sizeof big);
    assert_memory_equal(p, big, n);
    assert_int_equal(p[n], 0);
    free(p);
}

static void writing_again_replaces_and_leaves_nothing_beside(void **state)
{
    struct err e = ERR_INIT;
    char *p;
    size_t n;

    (void)state;
    assert_int_equal(file_write(path_of("a"), "old", 3, &e), OK);
    assert_int_equal(file_write(path_of("a"), "", 0, &e), OK);
    assert_int_equal(file_read(&p, &n, path_of("a"), 10, &e), OK);
    assert_int_equal(n, 0);
    assert_string_equal(p, "");
    free(p);
    assert_int_equal(files_in_folder(), 1);
}

static void a_file_longer_than_the_limit_is_refused(void **state)
{
    struct err e = ERR_INIT;
    char *p = NULL;
    size_t n;

    (void)state;
    assert_int_equal(file_write(path_of("a"), "12345", 5, &e), OK);
    assert_int_equal(file_read(&p, &n, path_of("a"), 4, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "larger than 4 bytes"));
    assert_null(p);
}

static void failures_name_the_path_and_the_cause(void **state)
{
    struct err e = ERR_INIT;
    char *p = NULL;
    size_t n;

    (void)state;
    assert_int_equal(file_read(&p, &n, path_of("none"), 4, &e), E_IO);
    assert_non_null(strstr(e.msg, "/none': No such file"));
    assert_int_equal(file_read(&p, &n, folder, 4, &e), E_IO);
    assert_int_equal(file_write(path_of("none/x"), "", 0, &e), E_IO);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_reads_back_as_it_was_written),
        cmocka_unit_test(writing_again_replaces_and_leaves_nothing_beside),
        cmocka_unit_test(a_file_longer_than_the_limit_is_refused),
        cmocka_unit_test(failures_name_the_path_and_the_cause),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
