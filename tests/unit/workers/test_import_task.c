#include "tests/unit/workers/chain.h"

#include "workers/formats/gguf_model.h"
#include "workers/text/tokenizer.h"

/* The task that imports a model: what it needs is asked before it is taken. */

static TokenizerModel *some_tokenizer(void)
{
    static const char text[] = "a text, and one more\n";
    struct tokenizer_trainer *t;
    TokenizerModel *m = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(tokenizer_trainer_new(&t, "gpt-2", 1, &e), OK);
    assert_int_equal(tokenizer_trainer_add(t, text, strlen(text), &e), OK);
    assert_int_equal(tokenizer_trainer_finish(t, &m, 270, "plain", &e), OK);
    return m;
}

/* A GGUF file of half the numbers' size, taken in. */
static struct id taken_model(struct chain *c, size_t *parameters)
{
    TokenizerModel *t = some_tokenizer();
    ModelConfig config = MODEL_CONFIG__INIT;
    struct model *m;
    char path[128];
    Output *o = NULL;
    struct id id;

    config.vocab_size = (uint32_t)t->n_tokens;
    chain_check(c, model_new(&m, &config, &c->e));
    model_init(m, 3);
    *parameters = m->n_params;
    snprintf(path, sizeof path, "%s/m.gguf", c->home);
    chain_check(c, gguf_export(m, t, path, ELEMENT_F16, "m", &c->e));
    chain_check(c, files_take(&o, c->store, path, NULL, NULL, &c->e));
    id_from_span(&id, o->id.data, o->id.len);
    message_free(o);
    message_free(t);
    model_free(m);
    return id;
}

static void import_spec(struct spec *s, ImportTask *k, struct id files)
{
    import_task__init(k);
    spec_start(s, TASK_SPEC__KIND_IMPORT);
    s->m.import = k;
    spec_input(s, "files", files);
}

static void a_model_too_large_is_refused_with_its_numbers(void **state)
{
    struct chain c;
    struct spec s;
    ImportTask k;
    size_t parameters;

    (void)state;
    chain_start(&c, 1);
    struct id files = taken_model(&c, &parameters);
    c.memory = parameters;
    import_spec(&s, &k, files);
    spec_fails(&c, &s, E_TOO_LARGE, "importing needs"); /* the file alone */
    c.memory = 3 * parameters;
    import_spec(&s, &k, files);
    spec_fails(&c, &s, E_TOO_LARGE, "weights");
    c.memory = 0;
    import_spec(&s, &k, files);
    TaskAnswer *a = spec_run(&c, &s);
    assert_true(answer_metric_of(a, "memory_mib") * (1 << 20) > 6.0 * (double)parameters);
    assert_true(answer_has(a, "checkpoint"));
    message_free(a);
    chain_end(&c);
}

static void a_chat_template_is_chosen_by_name(void **state)
{
    struct chain c;
    struct spec s;
    ImportTask k;
    size_t parameters;

    (void)state;
    chain_start(&c, 1);
    struct id files = taken_model(&c, &parameters);
    import_spec(&s, &k, files);
    k.template_ = (char *)(uintptr_t) "chatml";
    spec_fails(&c, &s, E_INPUT, "needs a special token '<|im_start|>'");
    chain_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_too_large_is_refused_with_its_numbers),
        cmocka_unit_test(a_chat_template_is_chosen_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
