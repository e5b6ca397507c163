#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "workers/text/normalize.h"

static void becomes(const char *text, size_t n, const char *form)
{
    struct buf out = { 0 };

    assert_int_equal(buf_add(&out, "", 0), OK);
    assert_int_equal(normalize_nfc(&out, text, n), OK);
    if (out.n != strlen(form) || memcmp(out.p, form, out.n) != 0)
        fail_msg("'%.*s' is not '%s'", (int)out.n, out.p, form);
    buf_free(&out);
}

/* Examples of Unicode Standard Annex #15 and its test file. */
static void text_becomes_its_normal_form(void **state)
{
    static const char *const rows[][2] = {
        { "plain", "plain" },
        { "caf\u00e9", "caf\u00e9" },
        { "cafe\u0301", "caf\u00e9" },
        { "A\u030a\u212b", "\u00c5\u00c5" },                /* two ways to write it */
        { "\u2126", "\u03a9" },                             /* ohm */
        { "s\u0323\u0307", "\u1e69" },                      /* marks in order */
        { "s\u0307\u0323", "\u1e69" },                      /* and not */
        { "\u1112\u1161\u11ab", "\ud55c" },                 /* Hangul */
        { "\u0958", "\u0915\u093c" },                       /* never composed */
        { "\u4f60\u597d, \uff21", "\u4f60\u597d, \uff21" }, /* compatible is not equal */
        { "\uf900", "\u8c48" },                             /* a compatibility ideograph is */
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        becomes(rows[i][0], strlen(rows[i][0]), rows[i][1]);
}

static void stray_bytes_stay(void **state)
{
    (void)state;
    becomes("\xff e\u0301\xc3", 6, "\xff \u00e9\xc3");
    becomes("\xed\xa0\x80", 3, "\xed\xa0\x80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_its_normal_form),
        cmocka_unit_test(stray_bytes_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
