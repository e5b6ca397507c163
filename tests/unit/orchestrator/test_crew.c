#include "orchestrator/cli/crew.h"

#include "tests/unit/orchestrator/home.h"

static int with_home(void **at)
{
    *at = home_new();
    return 0;
}

static int without_home(void **at)
{
    home_remove(*at);
    return 0;
}

static void who_looks_after_workers_is_asked(void **at)
{
    struct err e = ERR_INIT;
    unsigned before = 99;
    int fd;

    assert_int_equal(crew_take(&fd, *at, 3, &e), OK);
    assert_int_equal(crew_wanted(fd, 7), 3);
    assert_int_equal(crew_ask(*at, 12, &before, &e), OK);
    assert_int_equal(before, 3);
    assert_int_equal(crew_wanted(fd, 7), 12);
    assert_int_equal(crew_ask(*at, 0, &before, &e), OK);
    assert_int_equal(before, 12);
    assert_int_equal(crew_wanted(fd, 7), 0);
    close(fd);
}

static void only_one_looks_after_them(void **at)
{
    struct err e = ERR_INIT;
    int first, second;

    assert_int_equal(crew_take(&first, *at, 1, &e), OK);
    assert_int_equal(crew_take(&second, *at, 2, &e), E_BUSY);
    assert_int_equal(crew_wanted(first, 7), 1);
    close(first);
    assert_int_equal(crew_take(&second, *at, 2, &e), OK);
    close(second);
}

static void nobody_is_there_to_be_asked(void **at)
{
    struct err e = ERR_INIT;
    unsigned before;
    int fd;

    assert_int_equal(crew_ask(*at, 2, &before, &e), E_BUSY);
    assert_int_equal(crew_take(&fd, *at, 1, &e), OK);
    close(fd);
    assert_int_equal(crew_ask(*at, 2, &before, &e), E_BUSY);
}

static void what_is_no_number_changes_nothing(void **at)
{
    static const char *const bad[] = { "", "many     \n", "257      \n", "-1       \n" };
    struct err e = ERR_INIT;
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/workers", (char *)*at);
    assert_int_equal(crew_take(&fd, *at, 1, &e), OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        FILE *f = fopen(path, "r+");
        assert_int_equal(ftruncate(fileno(f), 0), 0);
        fputs(bad[i], f);
        fclose(f);
        assert_int_equal(crew_wanted(fd, 7), 7);
    }
    close(fd);
}

#define CREW_TEST(f) cmocka_unit_test_setup_teardown(f, with_home, without_home)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CREW_TEST(who_looks_after_workers_is_asked),
        CREW_TEST(only_one_looks_after_them),
        CREW_TEST(nobody_is_there_to_be_asked),
        CREW_TEST(what_is_no_number_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
