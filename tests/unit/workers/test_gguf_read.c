#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/formats/gguf.h"

/* A small file: two keys, then a matrix of 2 x 3 and a vector of 2. */
static const float matrix[] = { 1, 2, 3, 4, 5, 6 }, vector[] = { .5F, -.5F };

struct file {
    char *p;
    size_t n;
};

static struct file small_file(void)
{
    char path[] = "/tmp/jielong-gguf-XXXXXX";
    const struct span texts[] = { { "a", 1 }, { "", 0 }, { "bcd", 3 } };
    struct gguf_writer *w;
    struct err e = ERR_INIT;
    struct file f;

    assert_non_null(mkdtemp(path));
    char name[64];
    snprintf(name, sizeof name, "%s/x.gguf", path);
    assert_int_equal(gguf_create(&w, name, &e), OK);
    gguf_text(w, "general.architecture", "llama");
    gguf_number(w, "llama.block_count", 3);
    gguf_real(w, "llama.rope.freq_base", 10000);
    gguf_texts(w, "tokens", texts, 3);
    gguf_tensor(w, "m", ELEMENT_F16, 2, 3);
    gguf_tensor(w, "v", ELEMENT_F32, 0, 2);
    assert_int_equal(gguf_put(w, matrix, 6, &e), OK);
    assert_int_equal(gguf_put(w, vector, 2, &e), OK);
    assert_int_equal(gguf_commit(w, &e), OK);
    assert_int_equal(gguf_create(&w, name, &e), E_INPUT); /* it is there */
    assert_int_equal(file_read(&f.p, &f.n, name, 1 << 20, &e), OK);
    unlink(name);
    rmdir(path);
    return f;
}

static void what_was_written_is_read(void **state)
{
    struct file f = small_file();
    struct err e = ERR_INIT;
    struct gguf *g;
    struct span text;
    int64_t n = 0;
    double x = 0;
    float back[6];

    (void)state;
    assert_int_equal(gguf_open(&g, (struct span){ f.p, f.n }, &e), OK);
    assert_int_equal(gguf_get_text(g, "general.architecture", &text, &e), OK);
    assert_int_equal(text.n, 5);
    assert_memory_equal(text.p, "llama", 5);
    assert_int_equal(gguf_get_number(g, "llama.block_count", 1, 256, &n, &e), OK);
    assert_int_equal(n, 3);
    assert_int_equal(gguf_get_real(g, "llama.rope.freq_base", &x, &e), OK);
    assert_true(x == 10000);
    const struct gguf_value *v = gguf_find(g, "tokens");
    size_t at = 0;
    assert_int_equal(v->n, 3);
    assert_int_equal(gguf_next_text(v, &at).n, 1);
    assert_int_equal(gguf_next_text(v, &at).n, 0);
    text = gguf_next_text(v, &at);
    assert_memory_equal(text.p, "bcd", 3);
    const struct gguf_info *t = gguf_tensor_named(g, "m");
    assert_int_equal(t->rows, 2);
    assert_int_equal(t->cols, 3);
    element_read(t->type, back, t->bytes.p, 6);
    assert_memory_equal(back, matrix, sizeof matrix);
    t = gguf_tensor_named(g, "v");
    element_read(t->type, back, t->bytes.p, 2);
    assert_memory_equal(back, vector, sizeof vector);
    gguf_free(g);
    free(f.p);
}

static void numbers_are_held_to_their_limits(void **state)
{
    struct file f = small_file();
    struct err e = ERR_INIT;
    struct gguf *g;
    int64_t n;

    (void)state;
    assert_int_equal(gguf_open(&g, (struct span){ f.p, f.n }, &e), OK);
    assert_int_equal(gguf_get_number(g, "llama.block_count", 4, 256, &n, &e), E_INPUT);
    assert_int_equal(gguf_get_number(g, "general.architecture", 0, 9, &n, &e), E_INPUT);
    assert_int_equal(gguf_get_number(g, "tokens", 0, 9, &n, &e), E_INPUT);
    assert_int_equal(gguf_get_number(g, "nothing", 0, 9, &n, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "missing"));
    gguf_free(g);
    free(f.p);
}

/* Finds `what` in the file and gives the place behind it. */
static char *behind(struct file f, const char *what)
{
    char *p = memmem(f.p, f.n, what, strlen(what));

    assert_non_null(p);
    return p + strlen(what);
}

static void refused(struct file f, const char *why)
{
    struct err e = ERR_INIT;
    struct gguf *g;

    assert_int_equal(gguf_open(&g, (struct span){ f.p, f.n }, &e), E_INPUT);
    if (!strstr(e.msg, why))
        fail_msg("'%s' does not say '%s'", e.msg, why);
    free(f.p);
}

static void put(char *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(v >> 8 * i);
}

static void hostile_headers_are_refused(void **state)
{
    struct file f = small_file();

    (void)state;
    f.p[0] = 'X';
    refused(f, "no GGUF");
    f = small_file();
    put(f.p + 4, 2, 4);
    refused(f, "version 2");
    f = small_file();
    put(f.p + 8, UINT64_MAX, 8);
    refused(f, "count");
    f = small_file();
    put(f.p + 16, (uint64_t)1 << 40, 8);
    refused(f, "count");
    f = small_file();
    put(f.p + 24, UINT64_MAX - 3, 8); /* length of the first key */
    refused(f, "ends");
    f = small_file();
    put(behind(f, "tokens") + 8, (uint64_t)1 << 61, 8);
    refused(f, "count");
    f = small_file();
    put(behind(f, "tokens") + 4, GGUF_ARRAY, 4);
    refused(f, "array of arrays");
    f = small_file();
    put(behind(f, "tokens"), 99, 4);
    refused(f, "unknown type");
}

/* Behind a name: 4 bytes dimensions, 8 for each, 4 type, 8 offset. */
#define MATRIX "\x01\0\0\0\0\0\0\0m"

static char *matrix_info(struct file f)
{
    char *p = memmem(f.p, f.n, MATRIX, 9);

    assert_non_null(p);
    return p + 9;
}

static char *vector_info(struct file f)
{
    return matrix_info(f) + 4 + 16 + 4 + 8 + 9;
}

static void hostile_tensors_are_refused(void **state)
{
    struct file f = small_file();

    (void)state;
    put(matrix_info(f), 5, 4);
    refused(f, "dimensions");
    f = small_file();
    put(matrix_info(f) + 4, 0, 8);
    refused(f, "dimension");
    f = small_file();
    put(matrix_info(f) + 4, (uint64_t)1 << 33, 8);
    refused(f, "dimension");
    f = small_file();
    put(matrix_info(f) + 12, UINT32_MAX, 8);
    refused(f, "beyond");
    f = small_file();
    put(matrix_info(f) + 20, 2, 4);
    refused(f, "type 2");
    f = small_file();
    put(matrix_info(f) + 20, 8, 4); /* Q8_0 */
    refused(f, "blocks");
    f = small_file();
    put(matrix_info(f) + 24, 8, 8);
    refused(f, "aligned");
    f = small_file();
    put(vector_info(f) + 4 + 8 + 4, 0, 8);
    refused(f, "overlap");
    f = small_file();
    put(vector_info(f) + 4 + 8 + 4, UINT64_MAX - 31, 8);
    refused(f, "beyond");
    f = small_file();
    vector_info(f)[-1] = 'm';
    refused(f, "twice");
}

static void a_file_that_is_cut_anywhere_is_refused(void **state)
{
    struct file f = small_file();

    (void)state;
    for (size_t n = 0; n + 31 < f.n; n++) { /* the last bytes only fill up */
        struct err e = ERR_INIT;
        struct gguf *g;
        char *copy = malloc(n + 1);
        memcpy(copy, f.p, n);
        assert_int_equal(gguf_open(&g, (struct span){ copy, n }, &e), E_INPUT);
        free(copy);
    }
    free(f.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(numbers_are_held_to_their_limits),
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(hostile_tensors_are_refused),
        cmocka_unit_test(a_file_that_is_cut_anywhere_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
