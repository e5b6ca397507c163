#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "workers/math/blas.h"
#include "workers/math/engine.h"

/* The program runs itself with the core type of each class: see test_blas.c. */
#define CHILD "JIELONG_TEST_CLASS"

static void classes_are_named_and_distinct(void **state)
{
    const char *const *names = numeric_classes();
    (void)state;

    assert_non_null(names[0]);
    for (size_t i = 0; names[i] != NULL; i++) {
        const char *core = numeric_class_core(names[i]);
        assert_int_equal(strncmp(names[i], "openblas-", 9), 0);
        assert_non_null(core);
        assert_non_null(strstr(names[i], core));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(names[i], names[j]);
    }
    assert_ptr_equal(numeric_classes(), names);
}

static void the_best_class_has_the_best_kernels_and_all_can_be_run(void **state)
{
    const char *const *names = numeric_classes();
    (void)state;

    assert_non_null(strstr(names[0], kernels_available()[0]));
    for (size_t i = 0; names[i] != NULL; i++)
        assert_non_null(kernels_get(strrchr(names[i], '/') + 1));
    assert_null(kernels_get("no such set"));
    assert_ptr_equal(kernels_get(NULL), kernels_get(kernels_available()[0]));
}

static void a_class_of_another_machine_has_no_core(void **state)
{
    (void)state;

    assert_null(numeric_class_core("openblas-9.9.9/SkylakeX/avx512"));
    assert_null(numeric_class_core("openblas-0.3.21/NoSuchCore/generic"));
    assert_null(numeric_class_core(""));
    assert_null(numeric_class_core("///"));
}

static void an_engine_without_a_class_takes_what_is_loaded(void **state)
{
    struct engine en;
    struct err e = ERR_INIT;
    (void)state;

    assert_int_equal(engine_init(&en, NULL, 2, &e), OK);
    assert_ptr_equal(en.k, kernels_get(NULL));
    assert_int_equal(pool_threads(en.pool), 2);
    engine_free(&en);
    engine_free(&en);
    engine_free(NULL);
}

static void the_class_that_is_loaded_is_given(void **state)
{
    struct engine en;
    struct err e = ERR_INIT;
    const char *class = getenv(CHILD);
    (void)state;

    assert_int_equal(engine_init(&en, class, 1, &e), OK);
    assert_string_equal(en.k->name, strrchr(class, '/') + 1);
    engine_free(&en);
}

/* Classes of one core type differ in our own kernels alone. */
static void a_class_of_another_core_is_refused_by_both_names(void **state)
{
    const char *class = getenv(CHILD);
    struct engine en;
    (void)state;

    for (const char *const *name = numeric_classes(); *name != NULL; name++) {
        struct err e = ERR_INIT;
        if (strcmp(numeric_class_core(*name), numeric_class_core(class)) == 0)
            continue;
        assert_int_equal(engine_init(&en, *name, 1, &e), E_INPUT);
        assert_non_null(strstr(e.msg, *name));
        assert_non_null(strstr(e.msg, blas_setup()));
    }
}

static void nonsense_is_refused(void **state)
{
    static const char *const wrong[] = { "", "openblas", "openblas-0.3.21/Haswell",
        "openblas-0.3.21/Haswell/avx2/more", "openblas-0.0.1/Haswell/avx2", "//" };
    struct engine en;
    (void)state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err e = ERR_INIT;
        assert_int_equal(engine_init(&en, wrong[i], 1, &e), E_INPUT);
        assert_non_null(strstr(e.msg, wrong[i]));
    }
}

static int run_with(const char *program, const char *class)
{
    int status = -1;

    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setenv(CHILD, class, 1);
        setenv("OPENBLAS_CORETYPE", numeric_class_core(class), 1);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    return status;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_named_and_distinct),
        cmocka_unit_test(the_best_class_has_the_best_kernels_and_all_can_be_run),
        cmocka_unit_test(a_class_of_another_machine_has_no_core),
        cmocka_unit_test(an_engine_without_a_class_takes_what_is_loaded),
        cmocka_unit_test(the_class_that_is_loaded_is_given),
        cmocka_unit_test(a_class_of_another_core_is_refused_by_both_names),
        cmocka_unit_test(nonsense_is_refused),
    };
    int failures = 0;
    (void)argc;

    if (getenv(CHILD) != NULL)
        return cmocka_run_group_tests_name(blas_setup(), tests, NULL, NULL);
    for (const char *const *name = numeric_classes(); *name != NULL; name++)
        failures += run_with(argv[0], *name) != 0;
    return failures;
}
