#include "tests/unit/workers/world.h"

/* Answers that a rubric ranks, as it does in a pipeline. */

enum { SETS = 64, ANSWERS = 4 };

/* Every set the same: two of the answers are equally good. */
static struct id answer_sets(struct chain *c)
{
    static char *const texts[ANSWERS] = { "s s", "none", "is", "as" };
    Answer answers[ANSWERS], *pointers[ANSWERS];
    Turn turn = TURN__INIT, *turns[] = { &turn };
    Prompt prompt = PROMPT__INIT;
    AnswerSet set = ANSWER_SET__INIT;
    struct records_writer *w;
    Output *o = NULL;
    struct id id;

    for (size_t i = 0; i < ANSWERS; i++) {
        answer__init(&answers[i]);
        answers[i].text = texts[i];
        pointers[i] = &answers[i];
    }
    turn.has_role = true;
    turn.role = ROLE__USER;
    turn.text = "the cat";
    prompt.id = "p";
    prompt.turns = turns;
    prompt.n_turns = 1;
    set.prompt = &prompt;
    set.answers = pointers;
    set.n_answers = ANSWERS;
    chain_check(c, records_create(&w, c->store, ARTIFACT_KIND__ANSWERS, &c->e));
    for (int i = 0; i < SETS; i++)
        chain_check(c, records_add(w, &set.base, &c->e));
    chain_check(c, records_commit(w, "answers", &o, &c->e));
    id_from_span(&id, o->id.data, o->id.len);
    message_free(o);
    return id;
}

/* By how often they say "s"; place[i][k]: the tier of answer k of set i. */
static void rank_all(uint32_t place[SETS][ANSWERS], struct chain *c, double noise)
{
    Rubric rubric = RUBRIC__INIT;
    Rule rule = RULE__INIT, *rules[] = { &rule };
    RankTask k = RANK_TASK__INIT;
    struct records_reader *r;
    struct spec s;

    rubric.has_right = rubric.has_answers = rubric.has_language = rubric.has_ends = true;
    rubric.right = rubric.answers = rubric.language = rubric.ends = rubric.short_ = 0;
    rubric.has_short_ = rubric.has_noise = true;
    rubric.noise = noise;
    rule.contains = "s";
    rule.has_each = rule.each = true;
    rubric.rules = rules;
    rubric.n_rules = 1;
    k.rubric = &rubric;
    spec_start(&s, TASK_SPEC__KIND_RANK);
    s.m.rank = &k;
    spec_input(&s, "answers", answer_sets(c));
    TaskAnswer *a = spec_run(c, &s);
    struct id id = answer_id(a, "rankings");
    message_free(a);
    chain_check(
        c, records_open(&r, c->store, &id, ARTIFACT_KIND__RANKINGS, &ranking__descriptor, &c->e));
    for (size_t i = 0; i < SETS; i++) {
        ProtobufCMessage *m = NULL;
        chain_check(c, records_next(r, &m, &c->e));
        const Ranking *x = (Ranking *)m;
        assert_int_equal(x->n_tiers, 3);
        for (uint32_t t = 0; t < 3; t++)
            for (size_t j = 0; j < x->tiers[t]->n_answers; j++)
                place[i][x->tiers[t]->answers[j]] = t;
        message_free(m);
    }
    records_close(r);
}

static void the_best_stand_first_and_equals_together(void **state)
{
    static const uint32_t want[ANSWERS] = { 0, 2, 1, 1 };
    struct world *w = *state;
    uint32_t place[SETS][ANSWERS];

    rank_all(place, &w->c, 0);
    for (size_t i = 0; i < SETS; i++)
        assert_memory_equal(place[i], want, sizeof want);
}

/* The first two tiers change places in half of the sets: 32 ± 4 standard deviations. */
static void noise_is_the_chance_of_a_slip_in_each_set_by_itself(void **state)
{
    struct world *w = *state;
    uint32_t place[SETS][ANSWERS], slips = 0;

    rank_all(place, &w->c, .5);
    for (size_t i = 0; i < SETS; i++)
        slips += place[i][0] == 1;
    assert_in_range(slips, 16, 48);
    rank_all(place, &w->c, 1);
    for (size_t i = 0; i < SETS; i++)
        assert_true(place[i][0] == 1 && place[i][2] == 0 && place[i][1] == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_stand_first_and_equals_together),
        cmocka_unit_test(noise_is_the_chance_of_a_slip_in_each_set_by_itself),
    };
    return cmocka_run_group_tests(tests, start, end);
}
