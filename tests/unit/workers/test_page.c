#include "workers/tasks/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void text_is(const char *text, const char *expected)
{
    struct buf b = { 0 };
    struct page p = { &b, OK };

    page_text(&p, text);
    assert_int_equal(p.rc, OK);
    assert_string_equal(b.p ? b.p : "", expected);
    buf_free(&b);
}

static void text_stays_text(void **state)
{
    (void)state;
    text_is("", "");
    text_is("玉山。", "玉山。");
    text_is("<script>a && b</script>", "&lt;script&gt;a &amp;&amp; b&lt;/script&gt;");
    text_is("\" onload='x'", "&quot; onload=&#39;x&#39;");
    text_is("\"\"", "&quot;&quot;");
    text_is("a\nb\n", "a\nb\n");
    text_is("\x1b[31m\x07\xff", "\\x1b[31m\\x07\\xff");
    text_is("\xe2\x80\xae", "\\u202e");
}

static void the_language_is_that_of_most_letters(void **state)
{
    (void)state;
    assert_string_equal(page_lang("玉山。"), "zh");
    assert_string_equal(page_lang("Yushan."), "en");
    assert_string_equal(page_lang("答案是 A"), "zh");
    assert_string_equal(page_lang("The highest mountain is 玉"), "en");
    assert_string_equal(page_lang("42?"), "");
    assert_string_equal(page_lang(""), "");
    assert_string_equal(page_lang(NULL), "");
}

static void a_failure_sticks(void **state)
{
    struct buf b = { 0 };
    struct page p = { &b, E_NOMEM };

    (void)state;
    page_put(&p, "x");
    page_text(&p, "y");
    assert_int_equal(p.rc, E_NOMEM);
    assert_int_equal(b.n, 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_stays_text),
        cmocka_unit_test(the_language_is_that_of_most_letters),
        cmocka_unit_test(a_failure_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
