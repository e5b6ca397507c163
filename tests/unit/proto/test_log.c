#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/log.h"

/* What `say` writes to stderr. */
static void heard(char out[8192], void (*say)(void))
{
    int ends[2], kept = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    say();
    assert_true(dup2(kept, STDERR_FILENO) >= 0); /* closes the pipe's last writer */
    close(kept);
    n = read(ends[0], out, 8191);
    close(ends[0]);
    out[n > 0 ? n : 0] = '\0';
}

static void say_hello(void)
{
    log_info("worker %s joined", "w1");
}

static void say_controls(void)
{
    log_error("a\nb\x1b[31m山\xff");
}

static void say_little(void)
{
    log_debug("not heard");
    log_info("not heard");
    log_warn("heard");
}

static void a_line_has_time_level_program_and_message(void **state)
{
    char line[8192];

    (void)state;
    log_setup("orchestrator", LOG_INFO);
    heard(line, say_hello);
    /* 2026-11-23T04:12:09.120Z info  orchestrator: message */
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[23], 'Z');
    assert_string_equal(line + 24, " info  orchestrator: worker w1 joined\n");
}

static void control_bytes_are_escaped(void **state)
{
    char line[8192];

    (void)state;
    log_setup("worker", LOG_INFO);
    heard(line, say_controls);
    assert_string_equal(line + 24, " error worker: a\\nb\\x1b[31m山\\xff\n");
}

static void json_lines_are_objects(void **state)
{
    char line[8192];

    (void)state;
    log_setup("w\"1", LOG_INFO);
    assert_false(log_format("yaml"));
    assert_true(log_format("json"));
    heard(line, say_controls);
    assert_true(log_format("text"));
    assert_memory_equal(line, "{\"time\":\"2", 10);
    assert_string_equal(line + 33, "\",\"level\":\"error\",\"program\":\"w\\\"1\",\"event\":"
                                   "\"a\\nb\\u001b[31m山\xef\xbf\xbd\"}\n");
}

static void lower_levels_are_left_out(void **state)
{
    char line[8192];

    (void)state;
    log_setup("worker", LOG_WARN);
    heard(line, say_little);
    assert_string_equal(line + 24, " warn  worker: heard\n");
}

static void say_whom(void)
{
    struct log_about about = { .run = "a-1", .job = "b\"c", .worker = "w1", .attempt = 2 };

    log_event(LOG_WARN, &about, "it failed");
    log_format("json");
    log_event(LOG_WARN, &about, "it failed");
    log_format("text");
}

static void json_names_whom_a_line_is_about_and_text_does_not(void **unused)
{
    char out[8192];

    (void)unused;
    heard(out, say_whom);
    assert_non_null(strstr(out, "Z warn  "));
    assert_non_null(strstr(out, ": it failed\n{\"time\":\""));
    assert_non_null(
        strstr(out, ",\"run\":\"a-1\",\"job\":\"b\\\"c\",\"attempt\":2,\"worker\":\"w1\","
                    "\"event\":\"it failed\"}\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_names_whom_a_line_is_about_and_text_does_not),
        cmocka_unit_test(a_line_has_time_level_program_and_message),
        cmocka_unit_test(control_bytes_are_escaped),
        cmocka_unit_test(json_lines_are_objects),
        cmocka_unit_test(lower_levels_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
