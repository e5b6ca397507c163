#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "workers/formats/tokenizer_file.h"

/* A tokenizer.json gives the ids that its own program gives, or is refused with the reason. */

#define LOW_LINE "\xe2\x96\x81"
#define BYTES "\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]"
#define PIECES                                                                                    \
    "\"byte_fallback\": true, \"vocab\": {\"a\": 0, \"" LOW_LINE "\": 1, \"" LOW_LINE "a\": 2}, " \
    "\"merges\": [\"" LOW_LINE " a\"]"
#define RUNS                                                                                   \
    "\"byte_fallback\": true, \"vocab\": {\"a\": 0, \"" LOW_LINE "\": 1, \"" LOW_LINE LOW_LINE \
    "\": 2}, "                                                                                 \
    "\"merges\": [\"" LOW_LINE " " LOW_LINE "\"]"
#define LEVEL "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": "
#define SPLIT                                                                                 \
    "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": "             \
    "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "       \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, " \
    "\"invert\": "
#define SEQUENCE(inverted, regex) \
    "{\"type\": \"Sequence\", \"pretokenizers\": [" SPLIT inverted "}, " LEVEL regex "}]}"
#define METASPACE "{\"type\": \"Metaspace\", \"replacement\": \"" LOW_LINE "\""
#define PREPEND "{\"type\": \"Prepend\", \"prepend\": \"" LOW_LINE "\"}"
#define ADDED(more) ", {\"id\": 4, \"content\": \"<u>\", \"special\": false, " more "}"

static const struct {
    const char *added, *normalizer, *pre, *model;
    const char *why; /* NULL: it is read */
} rows[] = {
    { "", "null", LEVEL "true}", BYTES, NULL },
    { "", "null", LEVEL "false}", BYTES, "pre_tokenizer that is not known" },
    { "", "null", SEQUENCE("false", "false"), BYTES, NULL },
    { "", "null", SEQUENCE("false", "true"), BYTES, "pre_tokenizer that is not known" },
    { "", "null", SEQUENCE("true", "false"), BYTES, "pre_tokenizer that is not known" },
    { "", "null", METASPACE ", \"split\": false}", RUNS, NULL },
    { "", "null", METASPACE ", \"split\": true}", PIECES, NULL },
    { "", "null", METASPACE ", \"split\": true}", RUNS, "merge 0: it joins" },
    { "", "null", METASPACE "}", RUNS, "merge 0: it joins" },
    { ADDED("\"normalized\": false"), PREPEND, "null", PIECES, NULL },
    { ADDED("\"normalized\": true"), PREPEND, "null", PIECES, "'<u>' is looked for" },
    { ADDED("\"normalized\": true"), "{\"type\": \"NFC\"}", LEVEL "true}", BYTES, NULL },
    { ADDED("\"lstrip\": true"), "null", LEVEL "true}", BYTES, "'<u>' has 'lstrip'" },
    { ADDED("\"rstrip\": true"), "null", LEVEL "true}", BYTES, "'<u>' has 'rstrip'" },
    { ADDED("\"single_word\": true"), "null", LEVEL "true}", BYTES, "'<u>' has 'single_word'" },
    { "", "null", "null", "\"type\": \"Unigram\", \"vocab\": []", "of the type 'Unigram'" },
};

static void what_would_give_other_ids_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TokenizerModel *m = NULL;
        struct err e = ERR_INIT;
        struct buf text = { 0 };
        const struct span none = { NULL, 0 };

        assert_int_equal(
            buf_printf(&text,
                "{\"added_tokens\": [{\"id\": 3, \"content\": \"<|endoftext|>\", \"special\": "
                "true}%s], \"normalizer\": %s, \"pre_tokenizer\": %s, \"model\": {%s}}",
                rows[i].added, rows[i].normalizer, rows[i].pre, rows[i].model),
            OK);
        int rc = tokenizer_from_json(&m, (struct span){ text.p, text.n }, none, &e);
        if (rc != (rows[i].why ? E_INPUT : OK) || (rows[i].why && !strstr(e.msg, rows[i].why)))
            fail_msg("row %zu: %d, '%s'", i, rc, e.msg);
        message_free(m);
        buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_give_other_ids_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
