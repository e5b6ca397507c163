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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_known_answers_of_sha_256_come_out),
        cmocka_unit_test(a_stream_gives_the_hash_of_its_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
