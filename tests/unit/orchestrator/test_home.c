#include "orchestrator/daemon.h"

#include <sys/stat.h>

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

static void socket_lies_in_the_home(void **at)
{
    char url[HOME_URL], full[4096], want[4200];
    struct err e = ERR_INIT;

    assert_non_null(realpath(*at, full));
    snprintf(want, sizeof want, "ipc://%s/orchestrator.sock", full);
    assert_int_equal(home_url(url, *at, &e), OK);
    assert_string_equal(url, want);
}

static void long_home_gets_a_short_socket_that_is_always_the_same(void **at)
{
    char deep[1024], url[HOME_URL], again[HOME_URL];
    struct err e = ERR_INIT;
    struct stat st;

    snprintf(deep, sizeof deep, "%s/%0120d", (char *)*at, 7);
    assert_int_equal(mkdir(deep, 0700), 0);
    assert_int_equal(home_url(url, deep, &e), OK);
    assert_true(strlen(url) - strlen("ipc://") <= 107);
    assert_int_equal(home_url(again, deep, &e), OK);
    assert_string_equal(url, again);
    *strrchr(url, '/') = '\0';
    assert_int_equal(lstat(url + strlen("ipc://"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void home_that_does_not_exist_is_an_error(void **at)
{
    char url[HOME_URL], path[512];
    struct err e = ERR_INIT;

    snprintf(path, sizeof path, "%s/none", (char *)*at);
    assert_int_equal(home_url(url, path, &e), E_IO);
    assert_non_null(strstr(e.msg, path));
}

int main(void)
{
#define HOME_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        HOME_TEST(socket_lies_in_the_home),
        HOME_TEST(long_home_gets_a_short_socket_that_is_always_the_same),
        HOME_TEST(home_that_does_not_exist_is_an_error),
    };
#undef HOME_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
