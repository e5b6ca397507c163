#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/wire.h"

static char text_worker[] = "w-17", text_name[] = "w1", text_line[] = "step 5";

/* A message of each end, built in place. */
struct letter {
    Envelope envelope;
    Hello hello;
    Progress progress;
    AttemptRef attempt;
    uint8_t task[32];
};

static void write_hello(struct letter *l)
{
    envelope__init(&l->envelope);
    hello__init(&l->hello);
    l->envelope.kind_case = ENVELOPE__KIND_HELLO;
    l->envelope.hello = &l->hello;
    l->hello.worker = text_worker;
    l->hello.name = text_name;
    l->hello.has_cores = 1;
    l->hello.cores = 2;
}

static void write_progress(struct letter *l)
{
    envelope__init(&l->envelope);
    progress__init(&l->progress);
    attempt_ref__init(&l->attempt);
    memset(l->task, 7, sizeof l->task);
    l->envelope.kind_case = ENVELOPE__KIND_PROGRESS;
    l->envelope.progress = &l->progress;
    l->progress.attempt = &l->attempt;
    l->attempt.has_task = l->attempt.has_attempt = l->attempt.has_epoch = 1;
    l->attempt.task = (ProtobufCBinaryData){ 32, l->task };
    l->attempt.attempt = 1;
    l->attempt.epoch = 3;
    l->progress.has_done = l->progress.has_total = 1;
    l->progress.done = 5;
    l->progress.total = 10;
}

static void expect_accepted(struct letter *l)
{
    struct err e = ERR_INIT;
    struct buf b = { 0 };
    Envelope *out = NULL;

    assert_int_equal(wire_encode(&b, &l->envelope, &e), OK);
    if (wire_decode(&out, b.p, b.n, &e) != OK)
        fail_msg("%s", e.msg);
    assert_int_equal(out->kind_case, l->envelope.kind_case);
    message_free(out);
    buf_free(&b);
}

static void expect_refused(struct letter *l, const char *message)
{
    struct err e = ERR_INIT;
    struct buf b = { 0 };
    Envelope *out = NULL;

    assert_int_equal(wire_encode(&b, &l->envelope, &e), OK);
    assert_int_equal(wire_decode(&out, b.p, b.n, &e), E_PROTOCOL);
    assert_string_equal(e.msg, message);
    assert_null(out);
    buf_free(&b);
}

static void a_message_goes_over_the_wire(void **state)
{
    struct letter l;

    (void)state;
    write_hello(&l);
    expect_accepted(&l);
    assert_int_equal(l.envelope.version, PROTOCOL_VERSION);
    write_progress(&l);
    expect_accepted(&l);
}

static void another_version_is_refused(void **state)
{
    struct err e = ERR_INIT;
    Envelope *out = NULL;

    (void)state;
    /* version 2, Shutdown */
    assert_int_equal(wire_decode(&out, "\x08\x02\xb2\x01\x00", 5, &e), E_PROTOCOL);
    assert_string_equal(e.msg, "the peer speaks protocol version 2, not 1");
    assert_int_equal(wire_decode(&out, "\xb2\x01\x00", 3, &e), E_PROTOCOL);
    assert_int_equal(wire_decode(&out, "\x08\x01\xb2\x01\x00", 5, &e), OK);
    message_free(out);
}

static void a_message_of_no_known_kind_is_refused(void **state)
{
    struct err e = ERR_INIT;
    Envelope *out = NULL;

    (void)state;
    assert_int_equal(wire_decode(&out, "\x08\x01", 2, &e), E_PROTOCOL);
    assert_string_equal(e.msg, "of no known kind");
    /* field 99, of a later version */
    assert_int_equal(wire_decode(&out, "\x08\x01\x9a\x06\x00", 5, &e), E_PROTOCOL);
    assert_int_equal(wire_decode(&out, "\x08\x01\xb2\x01\x03\x9a\x06\x00", 8, &e), E_PROTOCOL);
    assert_string_equal(e.msg, "shutdown: has an unknown field");
    assert_int_equal(wire_decode(&out, "garbage", 7, &e), E_PROTOCOL);
    assert_int_equal(wire_decode(&out, NULL, 0, &e), E_PROTOCOL);
    assert_null(out);
}

static void an_id_has_32_bytes(void **state)
{
    struct letter l;

    (void)state;
    write_progress(&l);
    l.attempt.task.len = 31;
    expect_refused(&l, "progress: attempt: task: is no id of 32 bytes");
    l.attempt.has_task = 0;
    expect_refused(&l, "progress: attempt: task: is missing");
}

static void what_must_be_there_is_there(void **state)
{
    struct letter l;

    (void)state;
    write_progress(&l);
    l.progress.attempt = NULL;
    expect_refused(&l, "progress: attempt: is missing");
    write_hello(&l);
    l.hello.worker = NULL;
    expect_refused(&l, "hello: worker: is missing");
}

static void texts_are_bounded_and_utf_8(void **state)
{
    char name[66];
    struct letter l;

    (void)state;
    write_hello(&l);
    memset(name, 'a', 65);
    name[65] = '\0';
    l.hello.name = name;
    expect_refused(&l, "hello: name: has 65 bytes");
    name[64] = '\0';
    expect_accepted(&l);
    memcpy(name, "\xff", 2);
    expect_refused(&l, "hello: name: is not UTF-8");
    name[0] = '\0';
    expect_refused(&l, "hello: name: has 0 bytes");
}

static void numbers_are_finite_and_in_range(void **state)
{
    struct letter l;

    (void)state;
    write_progress(&l);
    l.progress.done = 11;
    expect_refused(&l, "progress: done is more than total");
    l.progress.total = 0; /* not known */
    expect_accepted(&l);
    l.progress.has_rate = 1;
    l.progress.rate = 0.0 / 0.0;
    expect_refused(&l, "progress: rate: is not finite");
    write_hello(&l);
    l.hello.cores = 100000;
    expect_refused(&l, "hello: cores: is 100000, not from 0 to 65536");
}

static void enums_and_oneofs_are_known(void **state)
{
    Result result = RESULT__INIT;
    Failure failure = FAILURE__INIT;
    struct letter l;

    (void)state;
    write_progress(&l);
    result.attempt = &l.attempt;
    l.envelope.kind_case = ENVELOPE__KIND_RESULT;
    l.envelope.result = &result;
    expect_refused(&l, "result: of no known kind");
    result.kind_case = RESULT__KIND_FAILURE;
    result.failure = &failure;
    expect_refused(&l, "result: failure: cause: is missing");
    failure.has_cause = 1;
    failure.cause = CAUSE__CRASH;
    expect_accepted(&l);
    failure.cause = (Cause)99;
    expect_refused(&l, "result: failure: cause: is unknown: 99");
}

static void counts_are_bounded(void **state)
{
    enum { LINES = 10001 };
    LogLines lines = LOG_LINES__INIT;
    char **texts = malloc(LINES * sizeof(*texts));
    struct letter l;

    (void)state;
    assert_non_null(texts);
    write_progress(&l);
    for (size_t i = 0; i < LINES; i++)
        texts[i] = text_line;
    l.envelope.kind_case = ENVELOPE__KIND_LOG_LINES;
    l.envelope.log_lines = &lines;
    lines.attempt = &l.attempt;
    lines.lines = texts;
    lines.n_lines = LINES;
    expect_refused(&l, "log_lines: lines: has 10001 values");
    lines.n_lines = LINES - 1;
    expect_accepted(&l);
    free(texts);
}

static void frames_are_at_most_a_mebibyte(void **state)
{
    LogLines lines = LOG_LINES__INIT;
    char *long_text = malloc(FRAME_MAX + 1), *texts[] = { long_text };
    struct err e = ERR_INIT;
    struct buf b = { 0 };
    Envelope *out = NULL;
    struct letter l;

    (void)state;
    assert_non_null(long_text);
    memset(long_text, 'a', FRAME_MAX);
    long_text[FRAME_MAX] = '\0';
    write_progress(&l);
    l.envelope.kind_case = ENVELOPE__KIND_LOG_LINES;
    l.envelope.log_lines = &lines;
    lines.n_lines = 1;
    lines.lines = texts;
    assert_int_equal(wire_encode(&b, &l.envelope, &e), E_PROTOCOL);
    assert_int_equal(b.n, 0);
    assert_int_equal(wire_decode(&out, long_text, FRAME_MAX + 1, &e), E_PROTOCOL);
    assert_string_equal(e.msg, "a frame of 1048577 bytes");
    free(long_text);
}

static void frames_follow_each_other_on_a_stream(void **state)
{
    struct err e = ERR_INIT;
    Envelope *out = NULL;
    struct letter l;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    write_hello(&l);
    assert_int_equal(wire_write(ends[0], &l.envelope, &e), OK);
    write_progress(&l);
    assert_int_equal(wire_write(ends[0], &l.envelope, &e), OK);
    close(ends[0]);
    assert_int_equal(wire_read(&out, ends[1], &e), OK);
    assert_string_equal(out->hello->worker, "w-17");
    message_free(out);
    assert_int_equal(wire_read(&out, ends[1], &e), OK);
    assert_int_equal(out->progress->done, 5);
    message_free(out);
    assert_int_equal(wire_read(&out, ends[1], &e), OK);
    assert_null(out); /* a clean end */
    close(ends[1]);
}

static void a_stream_that_breaks_off_is_an_error(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } rows[] = { { "\x05", 1 }, { "\x05\0\0\0", 4 }, { "\x05\0\0\0\x08\x01", 6 },
        { "\x01\0\x10\0", 4 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = ERR_INIT;
        Envelope *out = NULL;
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], rows[i].bytes, rows[i].n), rows[i].n);
        close(ends[1]);
        assert_int_equal(wire_read(&out, ends[0], &e), E_PROTOCOL);
        assert_null(out);
        close(ends[0]);
    }
}

static void a_reader_that_is_gone_is_an_error_and_no_signal(void **state)
{
    struct err e = ERR_INIT;
    struct letter l;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[1]);
    write_hello(&l);
    assert_int_equal(wire_write(ends[0], &l.envelope, &e), E_IO);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_goes_over_the_wire),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(a_message_of_no_known_kind_is_refused),
        cmocka_unit_test(an_id_has_32_bytes),
        cmocka_unit_test(what_must_be_there_is_there),
        cmocka_unit_test(texts_are_bounded_and_utf_8),
        cmocka_unit_test(numbers_are_finite_and_in_range),
        cmocka_unit_test(enums_and_oneofs_are_known),
        cmocka_unit_test(counts_are_bounded),
        cmocka_unit_test(frames_are_at_most_a_mebibyte),
        cmocka_unit_test(frames_follow_each_other_on_a_stream),
        cmocka_unit_test(a_stream_that_breaks_off_is_an_error),
        cmocka_unit_test(a_reader_that_is_gone_is_an_error_and_no_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
