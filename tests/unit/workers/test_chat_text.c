#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "workers/formats/chat_text.h"
#include "workers/text/template.h"

/* Templates as other programs write them, known again or kept. */

static TokenizerModel *trained(const char *template)
{
    static const char text[] = "a text, and one more\n";
    struct tokenizer_trainer *t;
    TokenizerModel *m = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(tokenizer_trainer_new(&t, "gpt-2", 1, &e), OK);
    assert_int_equal(tokenizer_trainer_add(t, text, strlen(text), &e), OK);
    assert_int_equal(tokenizer_trainer_finish(t, &m, 270, template, &e), OK);
    return m;
}

static void adopt(TokenizerModel *m, const char *jinja, const char *name)
{
    struct err e = ERR_INIT;

    if (chat_adopt(m, (struct span){ jinja, strlen(jinja) }, &e) != OK)
        fail_msg("%s", e.msg);
    assert_string_equal(m->template_->name, name);
    if (m->template_->jinja)
        assert_string_equal(m->template_->jinja, jinja);
}

#define QWEN                                                                     \
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + " \
    "message['content'] "                                                        \
    "+ '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "      \
    "'<|im_start|>assistant\\n' }}{% endif %}"
#define PHI                                                                                   \
    "{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' " \
    "}}{{ '<|im_start|>assistant<|im_sep|>' }}"
#define LLAMA3                                                                                     \
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] " \
    "+ '<|eot_id|>' }}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
#define MISTRAL "{{ bos_token }}{{ '[INST] ' + message['content'] + ' [/INST]' }}"

static void templates_of_others_are_known_again(void **state)
{
    static const struct {
        const char *tokens, *jinja, *name;
    } rows[] = {
        { "chatml", QWEN, "chatml" },
        { "chatml", "<|im_start|>assistant\n ... <|im_end|>", "chatml" }, /* a real line feed */
        { "chatml", PHI, "unknown" },
        { "chatml", LLAMA3, "unknown" }, /* the vocabulary lacks its tokens */
        { "llama3", LLAMA3, "llama3" },
        { "plain", QWEN, "unknown" },
        { "plain", MISTRAL, "unknown" },
        { "plain", "", "unknown" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TokenizerModel *m = trained(rows[i].tokens);
        adopt(m, rows[i].jinja, rows[i].name);
        message_free(m);
    }
}

static void our_own_are_known_again(void **state)
{
    (void)state;
    for (const char *const *name = template_names(); *name; name++) {
        TokenizerModel *m = trained(*name);
        struct buf jinja = { 0 };
        assert_int_equal(chat_jinja(&jinja, m), OK);
        adopt(m, jinja.p, *name);
        buf_free(&jinja);
        message_free(m);
    }
}

static void what_is_not_known_has_no_place_for_a_turn_and_goes_out_as_it_came(void **state)
{
    Turn turn = TURN__INIT, *turns[] = { &turn };
    TokenizerModel *m = trained("plain");
    struct tokenizer *t;
    struct buf jinja = { 0 };
    struct ids ids = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    adopt(m, MISTRAL, "unknown");
    assert_int_equal(chat_jinja(&jinja, m), OK);
    assert_string_equal(jinja.p, MISTRAL);
    turn.role = ROLE__USER;
    turn.text = (char *)(uintptr_t) "hello";
    assert_int_equal(tokenizer_new(&t, m, &e), OK);
    assert_int_equal(template_prompt(t, &ids, turns, 1, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "`template: chatml`"));
    tokenizer_free(t);

    assert_int_equal(chat_choose(m, "chatml", &e), E_INPUT);
    assert_non_null(strstr(e.msg, "'<|im_start|>'"));
    assert_int_equal(chat_choose(m, "plain", &e), OK);
    assert_int_equal(tokenizer_new(&t, m, &e), OK);
    assert_int_equal(template_prompt(t, &ids, turns, 1, &e), OK);
    assert_true(ids.n > 0);
    tokenizer_free(t);
    ids_free(&ids);
    buf_free(&jinja);
    message_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_of_others_are_known_again),
        cmocka_unit_test(our_own_are_known_again),
        cmocka_unit_test(what_is_not_known_has_no_place_for_a_turn_and_goes_out_as_it_came),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
