#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/bytes.h"

/* FIPS 180-2, appendix B. */
static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
static const char two_blocks_hash[] =
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";

static void the_known_answers_of_sha_256_come_out(void **state)
{
    char hex[ID_HEX];
    struct id id;

    (void)state;
    sha256(&id, "abc", 3);
    id_hex(hex, &id);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(&id, NULL, 0);
    id_hex(hex, &id);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256(&id, two_blocks, strlen(two_blocks));
    id_hex(hex, &id);
    assert_string_equal(hex, two_blocks_hash);
}

static void a_stream_gives_the_hash_of_its_whole(void **state)
{
    struct err e = ERR_INIT;
    char hex[ID_HEX];

    (void)state;
    for (size_t cut = 0; cut <= strlen(two_blocks); cut += 7) {
        struct sha256 *h;
        struct id id;
        assert_int_equal(sha256_new(&h, &e), OK);
        sha256_add(h, two_blocks, cut);
        sha256_add(h, two_blocks + cut, strlen(two_blocks) - cut);
        sha256_end(h, &id);
        id_hex(hex, &id);
        assert_string_equal(hex, two_blocks_hash);
    }
}

/* Every length around the ends of blocks, then strings of mixed lengths, and an odd number. */
static void several_at_once_have_the_hashes_of_one_by_one(void **state)
{
    static uint8_t bytes[3][300];
    struct span in[5];
    struct id got[5], want;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i / 300][i % 300] = (uint8_t)(i * i >> 3);
    for (size_t n = 0; n < 300; n++) {
        for (size_t i = 0; i < 5; i++)
            in[i] = (struct span){ bytes[i % 3], i == 2 ? n / 2 : n };
        sha256_each(got, in, 5);
        for (size_t i = 0; i < 5; i++) {
            sha256(&want, in[i].p, in[i].n);
            assert_memory_equal(&got[i], &want, sizeof want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_known_answers_of_sha_256_come_out),
        cmocka_unit_test(a_stream_gives_the_hash_of_its_whole),
        cmocka_unit_test(several_at_once_have_the_hashes_of_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
