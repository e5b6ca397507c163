#include "proto/options.h"

#include <stdarg.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

/* A program that takes one option of each kind. */
static struct {
    bool detach;
    const char *home;
    struct option_texts settings;
    uint32_t workers, rows;
    uint64_t seed;
    double temperature;
} got;

static const struct option_row rows[] = {
    { "detach", 'd', OPTION_FLAG, &got.detach, NULL, "go on in the background", 0, 0, NULL },
    { "home", 0, OPTION_TEXT, &got.home, "DIR", "where all lies", 0, 0, NULL },
    { "set", 0, OPTION_TEXTS, &got.settings, "KEY=VALUE", "one setting", 0, 0, NULL },
    { "workers", 'w', OPTION_COUNT, &got.workers, "N", "how many", 1, 256, NULL },
    { "show-probabilities", 0, OPTION_COUNT, &got.rows, "N", "rows of a table", 0, 0, "10" },
    { "seed", 's', OPTION_WIDE, &got.seed, "N", "of the draw", 0, 0, NULL },
    { "temperature", 'T', OPTION_REAL, &got.temperature, "X", "0: greedy", 0, INFINITY, NULL },
    { "ready-fd", 0, OPTION_COUNT, &got.rows, "FD", NULL, 0, 0, NULL },
};
#define N_ROWS (sizeof rows / sizeof *rows)

static char *words[16];
static struct err e;

/* Reads a line cut at its blanks; returns how many operands it has, or the error's code. */
static int read_line(const char *line)
{
    static char copy[256];
    int n = 0, rc;

    memset(&got, 0, sizeof got);
    e = ERR_INIT;
    strcpy(copy, line);
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
        words[n++] = w;
    rc = options_read(rows, N_ROWS, words, &n, &e);
    return rc == OK ? n : rc;
}

static void options_and_operands_may_be_mixed(void **state)
{
    (void)state;
    assert_int_equal(read_line("first --workers 3 second --home=/x --detach third"), 3);
    assert_string_equal(words[0], "first");
    assert_string_equal(words[1], "second");
    assert_string_equal(words[2], "third");
    assert_int_equal(got.workers, 3);
    assert_string_equal(got.home, "/x");
    assert_true(got.detach);
}

static void letters_take_their_value_apart_or_together(void **state)
{
    (void)state;
    assert_int_equal(read_line("-w 2 -s7 -T0.5 -d"), 0);
    assert_int_equal(got.workers, 2);
    assert_int_equal(got.seed, 7);
    assert_true(got.temperature == 0.5);
    assert_true(got.detach);
}

static void a_value_may_look_like_an_option_and_may_hold_an_equals_sign(void **state)
{
    (void)state;
    assert_int_equal(read_line("--home --detach --set=a.b=1 --set c.d=2"), 0);
    assert_string_equal(got.home, "--detach");
    assert_false(got.detach);
    assert_int_equal(got.settings.n, 2);
    assert_string_equal(got.settings.items[0], "a.b=1");
    assert_string_equal(got.settings.items[1], "c.d=2");
}

static void after_two_dashes_nothing_is_an_option(void **state)
{
    (void)state;
    assert_int_equal(read_line("-d -- --workers - -x"), 3);
    assert_string_equal(words[0], "--workers");
    assert_int_equal(got.workers, 0);
}

static void a_lone_dash_is_an_operand(void **state)
{
    (void)state;
    assert_int_equal(read_line("-"), 1);
}

static void an_optional_value_follows_when_it_is_a_number(void **state)
{
    (void)state;
    assert_int_equal(read_line("--show-probabilities chat"), 1);
    assert_int_equal(got.rows, 10);
    assert_int_equal(read_line("--show-probabilities 4 chat"), 1);
    assert_int_equal(got.rows, 4);
    assert_int_equal(read_line("--show-probabilities=3"), 0);
    assert_int_equal(got.rows, 3);
    assert_int_equal(read_line("--show-probabilities"), 0);
    assert_int_equal(got.rows, 10);
}

static void refused(const char *line, const char *message)
{
    assert_int_equal(read_line(line), E_INPUT);
    assert_string_equal(e.msg, message);
}

static void numbers_are_read_strictly(void **state)
{
    (void)state;
    refused("--workers two", "--workers: 'two' is not a whole number");
    refused("--workers 2x", "--workers: '2x' is not a whole number");
    refused("--workers -1", "--workers: '-1' is not a whole number");
    refused("--workers=", "--workers: '' is not a whole number");
    refused("-w 0", "-w: '0' is not within 1 and 256");
    refused("--workers 4294967296", "--workers: '4294967296' is too large");
    refused("--seed 18446744073709551616", "--seed: '18446744073709551616' is too large");
    refused("--temperature warm", "--temperature: 'warm' is not a number");
    refused("--temperature nan", "--temperature: 'nan' is not a number");
    refused("--temperature 0x10", "--temperature: '0x10' is not a number");
    refused("--temperature 1e999", "--temperature: '1e999' is not a number");
    refused("-T -1", "-T: '-1' is not at least 0");
    assert_int_equal(read_line("--seed 18446744073709551615 -T 1e-3"), 0);
    assert_true(got.seed == UINT64_MAX);
    assert_true(got.temperature == 1e-3);
}

static void what_is_wrong_is_said_with_the_nearest_option(void **state)
{
    (void)state;
    refused("--wokers 3", "unknown option '--wokers'\n  = help: did you mean '--workers'?");
    refused("--wokers=3", "unknown option '--wokers'\n  = help: did you mean '--workers'?");
    refused("--quux", "unknown option '--quux'");
    refused("--redy-fd 3", "unknown option '--redy-fd'");
    refused("-q", "unknown option '-q'");
    refused("--home", "--home needs a value: --home DIR");
    refused("--detach=yes", "--detach takes no value");
}

static void help_has_a_line_for_each_option_that_people_give(void **state)
{
    struct buf out = { 0 };

    (void)state;
    assert_int_equal(options_help(&out, rows, N_ROWS), OK);
    assert_string_equal(out.p, "  -d, --detach              go on in the background\n"
                               "  --home DIR                where all lies\n"
                               "  --set KEY=VALUE           one setting\n"
                               "  -w, --workers N           how many\n"
                               "  --show-probabilities[=N]  rows of a table\n"
                               "  -s, --seed N              of the draw\n"
                               "  -T, --temperature X       0: greedy\n");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_may_be_mixed),
        cmocka_unit_test(letters_take_their_value_apart_or_together),
        cmocka_unit_test(a_value_may_look_like_an_option_and_may_hold_an_equals_sign),
        cmocka_unit_test(after_two_dashes_nothing_is_an_option),
        cmocka_unit_test(a_lone_dash_is_an_operand),
        cmocka_unit_test(an_optional_value_follows_when_it_is_a_number),
        cmocka_unit_test(numbers_are_read_strictly),
        cmocka_unit_test(what_is_wrong_is_said_with_the_nearest_option),
        cmocka_unit_test(help_has_a_line_for_each_option_that_people_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
