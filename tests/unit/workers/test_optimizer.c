#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "workers/tasks/optimizer.h"

struct fixture {
    struct engine engine;
    struct network n;
};

/* Every weight is 1 and every gradient 0.5. */
static int start(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    ModelConfig c = MODEL_CONFIG__INIT;
    struct model *m;
    struct err e = ERR_INIT;

    assert_non_null(f);
    c.layers = 2;
    c.width = 36;
    c.heads = 2;
    c.vocab_size = 1000;
    assert_int_equal(engine_init(&f->engine, NULL, 2, &e), OK);
    assert_int_equal(model_new(&m, &c, &e), OK);
    assert_int_equal(network_init(&f->n, m, &e), OK);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        for (size_t k = 0; k < t->rows * t->cols; k++) {
            m->params[t->offset + k] = 1;
            f->n.grad[t->offset + k] = .5F;
        }
    }
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    network_free(&f->n);
    engine_free(&f->engine);
    free(f);
    return 0;
}

static double norm_of(struct fixture *f)
{
    struct err e = ERR_INIT;
    double norm;

    assert_int_equal(network_grad_norm(&norm, &f->engine, &f->n, &e), OK);
    return norm;
}

/* Kingma & Ba 2015: the first step is the learning rate long, whatever the gradient's size. */
static void the_first_step_is_the_learning_rate_and_matrices_decay(void **state)
{
    struct fixture *f = *state;
    const struct optimizer o = { .9, .95, 1e-8, .1, 0, false };
    const struct average none = { NULL, 0 };

    network_step(&f->engine, &f->n, &o, &none, .01, 1, norm_of(f));
    for (size_t i = 0; i < f->n.model->n_tensors; i++) {
        const struct tensor *t = &f->n.model->tensors[i];
        double expected = t->decay ? 1 - .01 - .01 * .1 : 1 - .01;
        for (size_t k = 0; k < t->rows * t->cols; k++)
            assert_float_equal(f->n.model->params[t->offset + k], expected, 1e-6);
    }
}

/* At a gradient of .5 and eps .1: lr g / (g + eps), or with eps beside the root of the raw second
 * moment, which is .05 g^2: lr g / (g + eps / sqrt(.05)). Huang et al. 2024, "The N implementation
 * details of RLHF with PPO", on TensorFlow's Adam. */
static void eps_stands_within_the_bias_correction_or_outside(void **state)
{
    struct fixture *f = *state;
    const struct average none = { NULL, 0 };

    for (int outside = 0; outside < 2; outside++) {
        const struct optimizer o = { .9, .95, .1, 0, 0, outside };
        double step = .01 * .5 / (.5 + (outside ? .1 / sqrt(.05) : .1));
        for (size_t i = 0; i < f->n.model->n_params; i++) {
            f->n.model->params[i] = 1;
            f->n.m[i] = f->n.v[i] = 0;
            f->n.grad[i] = .5F;
        }
        network_step(&f->engine, &f->n, &o, &none, .01, 1, norm_of(f));
        assert_float_equal(f->n.model->params[0], 1 - step, 1e-6);
    }
}

static void a_step_leaves_the_gradient_zero(void **state)
{
    struct fixture *f = *state;
    const struct optimizer o = { .9, .95, 1e-8, .1, 1, false };
    const struct average none = { NULL, 0 };

    network_step(&f->engine, &f->n, &o, &none, .01, 1, norm_of(f));
    for (size_t i = 0; i < f->n.model->n_params; i++)
        assert_true(f->n.grad[i] == 0);
    assert_true(norm_of(f) == 0);
}

static void the_average_follows_the_weights(void **state)
{
    struct fixture *f = *state;
    const struct model *m = f->n.model;
    const struct optimizer o = { .9, .95, 1e-8, 0, 0, false };
    float *kept = calloc(m->n_params, sizeof *kept);
    const struct average a = { kept, .75 };

    assert_non_null(kept);
    network_step(&f->engine, &f->n, &o, &a, .01, 1, norm_of(f));
    for (size_t i = 0; i < m->n_params; i++)
        assert_float_equal(kept[i], .25 * m->params[i], 1e-6);
    free(kept);
}

static void the_norm_is_of_all_gradients(void **state)
{
    struct fixture *f = *state;
    size_t n = 0;

    for (size_t i = 0; i < f->n.model->n_tensors; i++)
        n += f->n.model->tensors[i].rows * f->n.model->tensors[i].cols;
    assert_float_equal(norm_of(f), .5 * sqrt((double)n), 1e-6);
}

static void a_norm_that_is_not_finite_breaks_an_invariant(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    double norm;

    f->n.grad[7] = INFINITY;
    assert_int_equal(network_grad_norm(&norm, &f->engine, &f->n, &e), E_INVARIANT);
    assert_string_equal(e.msg, "invariant 'finite gradient norm': it is inf");
}

static void the_learning_rate_warms_up_and_goes_down(void **state)
{
    (void)state;
    /* from a tenth, over ten steps */
    assert_float_equal(learning_rate_at(SCHEDULE__CONSTANT, 1, .1, 0, 0, 10, 100), .1, 1e-12);
    assert_float_equal(learning_rate_at(SCHEDULE__CONSTANT, 1, .1, 0, 9, 10, 100), .91, 1e-12);
    assert_float_equal(learning_rate_at(SCHEDULE__CONSTANT, 1, .1, 0, 10, 10, 100), 1, 1e-12);
    assert_float_equal(learning_rate_at(SCHEDULE__CONSTANT, 1, 0, 0, 0, 10, 100), .1, 1e-12);
    assert_float_equal(learning_rate_at(SCHEDULE__CONSTANT, 1, .1, 0, 99, 10, 100), 1, 1e-12);
    assert_float_equal(learning_rate_at(SCHEDULE__LINEAR, 1, 0, 0, 55, 10, 100), .5, 1e-12);
    assert_float_equal(learning_rate_at(SCHEDULE__COSINE, 1, 0, .1, 10, 10, 110), 1, 1e-12);
    assert_float_equal(learning_rate_at(SCHEDULE__COSINE, 1, 0, .1, 60, 10, 110), .55, 1e-12);
    assert_float_equal(learning_rate_at(SCHEDULE__COSINE, 1, 0, .1, 110, 10, 110), .1, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_first_step_is_the_learning_rate_and_matrices_decay, start, end),
        cmocka_unit_test_setup_teardown(
            eps_stands_within_the_bias_correction_or_outside, start, end),
        cmocka_unit_test_setup_teardown(a_step_leaves_the_gradient_zero, start, end),
        cmocka_unit_test_setup_teardown(the_average_follows_the_weights, start, end),
        cmocka_unit_test_setup_teardown(the_norm_is_of_all_gradients, start, end),
        cmocka_unit_test_setup_teardown(a_norm_that_is_not_finite_breaks_an_invariant, start, end),
        cmocka_unit_test(the_learning_rate_warms_up_and_goes_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
