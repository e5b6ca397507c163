#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "workers/child.h"

/* The daemon starts its own program again as the executor: here that is this one. */

#define DAEMON_FD 3

/* A frame of four bytes that are no message; then it waits for more work, as an executor does. */
static int executor(void)
{
    static const uint8_t frame[] = { 4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
    struct pollfd daemon = { .fd = DAEMON_FD, .events = POLLIN };
    uint8_t more;

    if (getenv("DIES") && poll(&daemon, 1, -1) == 1)
        raise(SIGKILL);
    if (write(DAEMON_FD, frame, sizeof frame) != (ssize_t)sizeof frame)
        return 1;
    while (read(DAEMON_FD, &more, 1) > 0)
        ;
    return 0;
}

/* Of an executor that is given a task, and then sends nothing that can be read. */
static Failure *failure_of_one_that_cannot_be_read(void)
{
    const struct child_options o = { "/nowhere", "", 1 };
    Assignment a = ASSIGNMENT__INIT;
    struct child *c;
    Envelope *m = NULL;
    Failure *f = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(child_spawn(&c, &o, &e), OK);
    assert_int_equal(child_execute(c, &a, &e), OK);
    assert_int_not_equal(child_receive(c, &m, &e), OK);
    assert_int_equal(child_failure(&f, c, e.msg, &e), OK);
    child_end(c);
    return f;
}

/* Waiting for it to end by itself would be for ever. */
static void an_executor_that_cannot_be_read_is_ended_and_told(void **state)
{
    Failure *f = failure_of_one_that_cannot_be_read();

    (void)state;
    assert_int_equal(f->cause, CAUSE__CRASH);
    assert_non_null(strstr(f->message, "the executor sent what cannot be read: "));
    message_free(f);
}

/* What it has not read makes the end of its connection an error. */
static void an_executor_that_is_killed_before_it_reads_was_killed(void **state)
{
    (void)state;
    assert_int_equal(setenv("DIES", "1", 1), 0);
    Failure *f = failure_of_one_that_cannot_be_read();
    assert_int_equal(unsetenv("DIES"), 0);
    assert_int_equal(f->cause, CAUSE__OUT_OF_MEMORY);
    assert_non_null(strstr(f->message, "killed by signal 9"));
    message_free(f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_executor_that_cannot_be_read_is_ended_and_told),
        cmocka_unit_test(an_executor_that_is_killed_before_it_reads_was_killed),
    };

    if (argc > 1 && strcmp(argv[1], "executor") == 0)
        return executor();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
