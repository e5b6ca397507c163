#include <zlib.h>
#include <zstd.h>

#include "tests/unit/workers/people.h"
#include "workers/text/unpack.h"

#define N 300000

static uint8_t text[N], packed[2 * N + 1000];

static size_t gzip(uint8_t *out, const uint8_t *p, size_t n)
{
    z_stream z = { 0 };

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)p;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = 2 * N;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return 2 * N - z.avail_out;
}

static size_t zstd(uint8_t *out, const uint8_t *p, size_t n)
{
    ZSTD_CCtx *c = ZSTD_createCCtx(); /* as the program zstd does: with a checksum */

    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)));
    size_t size = ZSTD_compress2(c, out, 2 * N, p, n);
    assert_false(ZSTD_isError(size));
    ZSTD_freeCCtx(c);
    return size;
}

static size_t none(uint8_t *out, const uint8_t *p, size_t n)
{
    memcpy(out, p, n);
    return n;
}

static const struct method {
    const char *name; /* NULL: not packed */
    size_t (*pack)(uint8_t *out, const uint8_t *p, size_t n);
} methods[] = { { "gzip", gzip }, { "zstd", zstd }, { NULL, none } };

static void fill_text(void)
{
    for (size_t i = 0; i < N; i++)
        text[i] = (uint8_t)("abcdefghij\n"[i % 11] + (i * i / 7919) % 3);
}

/* The bytes that come out of n packed ones, given in pieces; E_INPUT: what came of it. */
static int unpack(struct buf *out, const char *name, size_t n, size_t piece, struct err *e)
{
    struct pieces p = { { packed, n }, piece };
    struct unpacker *u = NULL;
    struct span part = { "", 1 };
    int rc = unpacker_new(&u, (struct bytes_in){ next_piece, &p }, e);

    if (rc != OK)
        return rc;
    if (name)
        assert_string_equal(unpacker_name(u), name);
    else
        assert_null(unpacker_name(u));
    while (rc == OK && part.n > 0) {
        rc = unpacker_next(u, &part, e);
        if (rc == OK)
            assert_int_equal(buf_add(out, part.p, part.n), OK);
    }
    unpacker_free(u);
    return rc;
}

static void what_was_packed_comes_out_whatever_the_pieces(void **state)
{
    static const size_t pieces[] = { 1, 2, 3, 5, 4096, 2 * N };
    static const size_t sizes[] = { 0, 1, 3, 4, 5, N };

    (void)state;
    fill_text();
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
                struct buf out = { 0 };
                struct err e = ERR_INIT;
                size_t n = methods[m].pack(packed, text, sizes[s]);
                if (unpack(&out, methods[m].name, n, pieces[k], &e) != OK)
                    fail_msg("%s", e.msg);
                assert_int_equal(out.n, sizes[s]);
                assert_true(out.n == 0 || memcmp(out.p, text, out.n) == 0);
                buf_free(&out);
            }
}

static void streams_one_after_the_other_are_one_file(void **state)
{
    (void)state;
    fill_text();
    for (size_t m = 0; m < 2; m++) {
        struct buf out = { 0 };
        struct err e = ERR_INIT;
        size_t n = methods[m].pack(packed, text, 1000);
        n += methods[m].pack(packed + n, text + 1000, 2000);
        assert_int_equal(unpack(&out, methods[m].name, n, 7, &e), OK);
        assert_int_equal(out.n, 3000);
        assert_memory_equal(out.p, text, 3000);
        buf_free(&out);
    }
}

static void what_is_cut_or_damaged_is_told(void **state)
{
    (void)state;
    fill_text();
    for (size_t m = 0; m < 2; m++) {
        size_t n = methods[m].pack(packed, text, N);
        for (size_t cut = 5; cut < n; cut += n / 7) {
            struct buf out = { 0 };
            struct err e = ERR_INIT;
            assert_int_equal(unpack(&out, methods[m].name, n - cut, 100, &e), E_INPUT);
            assert_non_null(strstr(e.msg, "it ends too early: was it cut off?"));
            buf_free(&out);
        }
        struct buf out = { 0 };
        struct err e = ERR_INIT;
        memset(packed + n / 2, 0xa5, 50);
        assert_int_equal(unpack(&out, methods[m].name, n, 100, &e), E_INPUT);
        assert_memory_equal(e.msg, methods[m].name, 4);
        buf_free(&out);
    }
}

static void what_stands_behind_is_told(void **state)
{
    (void)state;
    fill_text();
    for (size_t m = 0; m < 2; m++)
        for (size_t piece = 1; piece < 4000; piece += 1999) {
            struct buf out = { 0 };
            struct err e = ERR_INIT;
            size_t n = methods[m].pack(packed, text, 1000);
            memset(packed + n, 0, 100);
            assert_int_equal(unpack(&out, methods[m].name, n + 100, piece, &e), E_INPUT);
            assert_non_null(strstr(e.msg, "other bytes stand behind what is packed"));
            buf_free(&out);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_comes_out_whatever_the_pieces),
        cmocka_unit_test(streams_one_after_the_other_are_one_file),
        cmocka_unit_test(what_is_cut_or_damaged_is_told),
        cmocka_unit_test(what_stands_behind_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
