#include "orchestrator/journal.h"

#include <sys/wait.h>

#include "tests/unit/orchestrator/home.h"

static int set_up(void **at)
{
    *at = home_new();
    return 0;
}

static int tear_down(void **at)
{
    home_remove(*at);
    return 0;
}

static struct journal *open_journal(const char *home)
{
    struct err e = ERR_INIT;
    struct journal *j = NULL;

    assert_int_equal(journal_open(&j, home, &e), OK);
    return j;
}

static JobRecord some_job(uint32_t index)
{
    JobRecord r = JOB_RECORD__INIT;

    r.has_run = r.has_index = true;
    r.run = 1;
    r.index = index;
    return r;
}

static bool has_job(struct journal *j, uint32_t index)
{
    struct err e = ERR_INIT;
    JobRecord *r = NULL;

    assert_int_equal(journal_job(j, 1, index, &r, &e), OK);
    bool there = r != NULL;
    message_free(r);
    return there;
}

static void epoch_rises_with_every_opening(void **at)
{
    (void)at;
    for (uint64_t epoch = 1; epoch < 5; epoch++) {
        struct journal *j = open_journal(*at);
        assert_int_equal(journal_epoch(j), epoch);
        journal_close(j);
    }
}

static void home_has_one_orchestrator(void **at)
{
    int pipes[2], status;
    char done;

    assert_int_equal(pipe(pipes), 0);
    pid_t other = fork(); /* before LMDB is open here */
    if (other == 0) {
        struct err e = ERR_INIT;
        struct journal *mine = NULL;
        close(pipes[1]);
        if (read(pipes[0], &done, 1) != 1)
            _exit(1);
        _exit(journal_open(&mine, *at, &e) == E_BUSY ? 0 : 2);
    }
    struct journal *j = open_journal(*at);
    assert_true(state_orchestrator_alive(*at));
    assert_int_equal(write(pipes[1], "1", 1), 1);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    journal_close(j);
    assert_false(state_orchestrator_alive(*at));
    close(pipes[0]);
    close(pipes[1]);
}

static void what_was_not_committed_is_gone(void **at)
{
    struct err e = ERR_INIT;
    struct journal *j = open_journal(*at);
    JobRecord a = some_job(0), b = some_job(1);

    assert_int_equal(journal_put_job(j, &a, FIRM, &e), OK);
    assert_int_equal(journal_commit(j, 1000, &e), OK);
    assert_int_equal(journal_put_job(j, &b, FIRM, &e), OK);
    assert_true(has_job(j, 1)); /* its own turn sees it */
    journal_close(j);
    j = open_journal(*at);
    assert_true(has_job(j, 0));
    assert_false(has_job(j, 1));
    journal_close(j);
}

static void soft_rows_wait_for_a_firm_one_or_half_a_second(void **at)
{
    struct err e = ERR_INIT;
    struct journal *j = open_journal(*at);
    JobRecord a = some_job(0), b = some_job(1);

    assert_int_equal(journal_put_job(j, &a, SOFT, &e), OK);
    assert_int_equal(journal_commit(j, 1000, &e), OK);
    assert_true(journal_waits(j));
    assert_int_equal(journal_commit(j, 1000 + SOFT_MS - 1, &e), OK);
    assert_true(journal_waits(j));
    assert_int_equal(journal_commit(j, 1000 + SOFT_MS, &e), OK);
    assert_false(journal_waits(j));
    assert_int_equal(journal_put_job(j, &a, SOFT, &e), OK);
    assert_int_equal(journal_put_job(j, &b, FIRM, &e), OK);
    assert_int_equal(journal_commit(j, 2000, &e), OK);
    assert_false(journal_waits(j));
    journal_close(j);
}

static void run_numbers_are_never_given_twice(void **at)
{
    struct err e = ERR_INIT;
    struct journal *j = open_journal(*at);
    uint64_t a = 0, b = 0, c = 0;

    assert_int_equal(journal_new_run(j, &a, &e), OK);
    assert_int_equal(journal_new_run(j, &b, &e), OK);
    assert_int_equal(journal_commit(j, 0, &e), OK);
    journal_close(j);
    j = open_journal(*at);
    assert_int_equal(journal_new_run(j, &c, &e), OK);
    assert_int_equal(a, 1);
    assert_int_equal(b, 2);
    assert_int_equal(c, 3);
    journal_close(j);
}

int main(void)
{
#define JOURNAL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(epoch_rises_with_every_opening),
        JOURNAL_TEST(home_has_one_orchestrator),
        JOURNAL_TEST(what_was_not_committed_is_gone),
        JOURNAL_TEST(soft_rows_wait_for_a_firm_one_or_half_a_second),
        JOURNAL_TEST(run_numbers_are_never_given_twice),
    };
#undef JOURNAL_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
