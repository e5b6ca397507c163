#include "given.h"

#include "pipelines/locate.h"

static const char text[] = "name: places\n"                           /* 1 */
                           "inputs:\n"                                /* 2 */
                           "  corpus: corpus.txt\n"                   /* 3 */
                           "stages:\n"                                /* 4 */
                           "  one: {kind: tokenizer, text: corpus}\n" /* 5 */
                           "  two:\n"                                 /* 6 */
                           "    kind: rank\n"                         /* 7 */
                           "    by: people\n"                         /* 8 */
                           "    needs: [one, one]\n"                  /* 9 */
                           "  three:\n"                               /* 10 */
                           "    tokenizer:\n"                         /* 11 */
                           "      text: corpus\n"                     /* 12 */
                           "    matrix: {vocab_size: [300, 400]}\n";  /* 13 */

static void assert_place(struct site at, bool written, int line, int column)
{
    struct diags *d = diags_new();
    struct yaml *y = NULL;
    Pipeline *p = NULL;
    int got_line, got_column, width;

    assert_int_equal(yaml_parse(&y, text, strlen(text), d), OK);
    assert_int_equal(
        yaml_message((ProtobufCMessage **)&p, &pipeline__descriptor, yaml_root(y), d), OK);
    assert_int_equal(site_place(&at, yaml_root(y), p, &got_line, &got_column, &width), written);
    assert_int_equal(got_line, line);
    assert_int_equal(got_column, column);
    message_free(p);
    yaml_free(y);
    diags_free(d);
}

static struct site of_key(struct site at)
{
    at.of_key = true;
    return at;
}

static void what_is_written_is_found(void **state)
{
    (void)state;
    assert_place(site_of(SITE_PIPELINE, 0, "name"), true, 1, 7);
    assert_place(site_of(SITE_STAGE, 0, "text"), true, 5, 32);
    assert_place(of_key(site_of(SITE_STAGE, 0, "text")), true, 5, 26);
    assert_place(site_item(site_of(SITE_STAGE, 0, "text"), 0), true, 5, 32);
    assert_place(site_item(site_of(SITE_STAGE, 1, "needs"), 1), true, 9, 18);
    assert_place(site_of(SITE_STAGE, 2, "text"), true, 12, 13);
    assert_place(
        site_item(site_key(site_of(SITE_STAGE, 2, "matrix"), "vocab_size"), 1), true, 13, 32);
}

static void what_is_written_in_short_is_found_where_it_stands(void **state)
{
    (void)state;
    assert_place(site_of(SITE_INPUT, 0, "path"), false, 3, 11);
    assert_place(of_key(site_of(SITE_INPUT, 0, "name")), false, 3, 3);
    assert_place(of_key(site_of(SITE_STAGE, 1, "name")), false, 6, 3);
}

static void what_is_not_written_is_where_it_would_belong(void **state)
{
    (void)state;
    assert_place(site_of(SITE_STAGE, 1, "answers"), false, 6, 3);
    assert_place(site_key(site_of(SITE_STAGE, 1, "by"), "rubric"), false, 8, 5);
    assert_place(site_of(SITE_STAGE, 2, NULL), true, 10, 3);
    assert_place(site_of(SITE_PIPELINE, 0, "seed"), false, 0, 0);
}

static void settings_cover_what_they_set(void **state)
{
    Stage stage = STAGE__INIT, *stages[] = { &stage };
    Input input = INPUT__INIT, *inputs[] = { &input };
    Pipeline p = PIPELINE__INIT;
    struct site width = site_key(site_of(SITE_STAGE, 0, "model"), "width");
    struct site path = site_of(SITE_INPUT, 0, "path");
    struct site seed = site_of(SITE_PIPELINE, 0, "seed");

    (void)state;
    stage.name = "base";
    input.name = "corpus";
    p.stages = stages;
    p.n_stages = 1;
    p.inputs = inputs;
    p.n_inputs = 1;
    assert_true(site_covers(&width, &p, "base.model.width"));
    assert_true(site_covers(&width, &p, "base.model"));
    assert_true(site_covers(&width, &p, "stages.base.model"));
    assert_false(site_covers(&width, &p, "base.mode"));
    assert_false(site_covers(&width, &p, "base.steps"));
    assert_false(site_covers(&width, &p, "other.model"));
    assert_true(site_covers(&path, &p, "corpus"));
    assert_true(site_covers(&path, &p, "inputs.corpus.path"));
    assert_true(site_covers(&seed, &p, "seed"));
    assert_false(site_covers(&seed, &p, "base.seed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_found),
        cmocka_unit_test(what_is_written_in_short_is_found_where_it_stands),
        cmocka_unit_test(what_is_not_written_is_where_it_would_belong),
        cmocka_unit_test(settings_cover_what_they_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
