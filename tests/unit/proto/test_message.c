#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/message.h"

static Stage *ppo_stage(void)
{
    Stage *s = malloc(sizeof *s);
    PpoStage *ppo = malloc(sizeof *ppo);

    assert_non_null(s);
    assert_non_null(ppo);
    stage__init(s);
    ppo_stage__init(ppo);
    s->name = strdup("chat");
    s->kind_case = STAGE__KIND_PPO;
    s->ppo = ppo;
    ppo->init_from = strdup("sft");
    ppo->reward_model = strdup("teacher");
    ppo->prompts = strdup("prompts");
    return s;
}

static void given_and_left_at_its_default_are_the_same_bytes(void **state)
{
    Stage *left = ppo_stage(), *given = ppo_stage();
    struct err e = ERR_INIT;
    struct id a, b;

    (void)state;
    given->ppo->has_kl_coef = 1;
    given->ppo->kl_coef = 0.02;
    given->has_retries = 1;
    assert_int_equal(given->retries, 2);
    message_fill_defaults(&left->base);
    message_fill_defaults(&given->base);
    assert_int_equal(message_id(&a, &left->base, &e), OK);
    assert_int_equal(message_id(&b, &given->base, &e), OK);
    assert_true(id_equal(&a, &b));
    assert_true(left->ppo->has_gae_lambda);
    assert_true(left->ppo->gae_lambda == 0.95);
    assert_false(left->has_seed); /* has no default of its own */
    given->ppo->kl_coef = 0.03;
    assert_int_equal(message_id(&b, &given->base, &e), OK);
    assert_false(id_equal(&a, &b));
    message_free(left);
    message_free(given);
}

static void a_default_text_is_packed_once_it_is_filled_in(void **state)
{
    TokenizerStage *t = malloc(sizeof *t);
    struct buf b = { 0 };

    (void)state;
    tokenizer_stage__init(t);
    assert_int_equal(message_pack(&b, &t->base), OK);
    assert_int_equal(b.n, 0);
    message_fill_defaults(&t->base);
    assert_int_equal(message_pack(&b, &t->base), OK);
    assert_memory_equal(b.p, "\x10\x80\x10\x1a\x05plain", 10);
    buf_free(&b);
    message_free(t);
}

static void packing_appends_and_unpacking_gives_the_message_back(void **state)
{
    Stage *s = ppo_stage();
    ProtobufCMessage *m = NULL, *copy = NULL;
    struct err e = ERR_INIT;
    struct buf b = { 0 };
    struct id first, second;

    (void)state;
    assert_int_equal(buf_add(&b, "xy", 2), OK);
    assert_int_equal(message_pack(&b, &s->base), OK);
    assert_memory_equal(b.p, "xy", 2);
    assert_int_equal(message_unpack(&m, &stage__descriptor, b.p + 2, b.n - 2, &e), OK);
    assert_string_equal(((Stage *)m)->ppo->reward_model, "teacher");
    assert_string_equal(message_kind(m), "ppo");
    assert_int_equal(message_copy(&copy, m, &e), OK);
    assert_int_equal(message_id(&first, &s->base, &e), OK);
    assert_int_equal(message_id(&second, copy, &e), OK);
    assert_true(id_equal(&first, &second));
    buf_free(&b);
    message_free(s);
    message_free(m);
    message_free(copy);
    message_free(NULL);
}

static void malformed_bytes_are_refused(void **state)
{
    ProtobufCMessage *m = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(message_unpack(&m, &stage__descriptor, "\x0a\x7f", 2, &e), E_PROTOCOL);
    assert_string_equal(e.msg, "Stage: malformed message");
    assert_int_equal(message_unpack(&m, &stage__descriptor, "", 0, &e), E_PROTOCOL); /* no name */
    assert_null(m);
    assert_int_equal(message_unpack(&m, &done__descriptor, NULL, 0, &e), OK);
    message_free(m);
}

static void hostile_bytes_cannot_take_more_than_the_budget(void **state)
{
    enum { PAIRS = 100000 };
    char *p = malloc(2 * PAIRS); /* jobs: so many empty JobStatus, 2 bytes each */
    ProtobufCMessage *m = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_non_null(p);
    for (size_t i = 0; i < PAIRS; i++)
        memcpy(p + 2 * i, "\x5a", 2);
    assert_int_equal(message_unpack(&m, &run_status__descriptor, p, 2 * PAIRS, &e), E_PROTOCOL);
    assert_string_equal(e.msg, "RunStatus: takes too much memory for its size");
    assert_null(m);
    free(p);
}

static void a_message_without_its_oneof_has_no_kind(void **state)
{
    Stage s = STAGE__INIT;
    Envelope shutdown = ENVELOPE__INIT;
    Shutdown inner = SHUTDOWN__INIT;

    (void)state;
    assert_null(message_kind(&s.base));
    shutdown.kind_case = ENVELOPE__KIND_SHUTDOWN;
    shutdown.shutdown = &inner;
    assert_string_equal(message_kind(&shutdown.base), "shutdown");
}

static void enum_values_are_lower_case_words(void **state)
{
    const char *word = enum_word(&cause__descriptor, CAUSE__OUT_OF_MEMORY);

    (void)state;
    assert_string_equal(word, "out_of_memory");
    assert_ptr_equal(word, enum_word(&cause__descriptor, CAUSE__OUT_OF_MEMORY));
    assert_string_equal(enum_word(&model_config__family__descriptor, 2), "gpt2");
    assert_string_equal(enum_word(&split__descriptor, 77), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(given_and_left_at_its_default_are_the_same_bytes),
        cmocka_unit_test(a_default_text_is_packed_once_it_is_filled_in),
        cmocka_unit_test(packing_appends_and_unpacking_gives_the_message_back),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(hostile_bytes_cannot_take_more_than_the_budget),
        cmocka_unit_test(a_message_without_its_oneof_has_no_kind),
        cmocka_unit_test(enum_values_are_lower_case_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
