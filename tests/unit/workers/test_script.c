#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "workers/text/script.h"

static void most_letters_tell(void **state)
{
    static const struct sample {
        const char *text, *name;
    } samples[] = {
        { "What is that?", "Latin" },
        { "Où est-il passé ?", "Latin" },
        { "Xin chào, tôi tên là Nguyễn.", "Latin" },
        { "这是什么？", "zh" },
        { "用 Python 写一个函数。", "zh" },
        { "the Chinese word 山 means mountain", "Latin" },
        { "これは何ですか。", "ja" },
        { "東京都の人口は約千四百万人です。", "ja" },
        { "이것은 무엇입니까?", "ko" },
        { "Что это?", "Cyrillic" },
        { "Τι είναι αυτό;", "Greek" },
        { "מה זה?", "Hebrew" },
        { "ما هذا؟", "Arabic" },
        { "यह क्या है?", "Indic" },
        { "นี่คืออะไร", "Thai" },
        { "12 + 30 = 42", "other" },
        { "", "other" },
        { "\xff\xfe", "other" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct span text = { samples[i].text, strlen(samples[i].text) };
        assert_string_equal(script_name(script_of(text)), samples[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(most_letters_tell) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
