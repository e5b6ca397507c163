#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/text/shape_int.h"

/* Shapes in which the answers to one prompt are compared. */

/* What most of them come to: a prompt, so many answers, a key for each: smaller is better. */
static int give(struct shaping *x, struct conversation *c, const char *const *texts,
    const double *keys, size_t n, struct err *e)
{
    Ranking *answers = NULL;
    int rc = answers_new(&answers, n, e);

    for (size_t i = 0; rc == OK && i < n; i++)
        rc = answers_add(answers, texts[i], e);
    if (rc == OK)
        rc = answers_rank(answers, keys, e);
    if (rc == OK)
        rc = shaping_give(x, c, answers, e);
    message_free(answers);
    return rc;
}

static int give_record(struct shaping *x, const struct record *r, const char *const *texts,
    const double *keys, size_t n, struct err *e)
{
    struct conversation c = { 0 };
    int rc = conversation_add_question(&c, r, e);

    if (rc == OK)
        rc = give(x, &c, texts, keys, n, e);
    conversation_free(&c);
    return rc;
}

/* A number, also where CSV or a careless writer has made it a text; NaN: none. */
static double number_of(const struct json *v)
{
    size_t n;
    const char *text = json_text(v, &n);
    char *end;
    double d = text ? strtod(text, &end) : json_number(v, NAN);

    return text && (end == text || *end) ? NAN : d;
}

/* ---- lists ---- */

static const struct json *list_of(const struct record *r, const char *const *names)
{
    const struct json *v = NULL;

    for (; !v && *names; names++)
        v = record_get(r, *names);
    return v;
}

/* Texts and room for a key each, of `list`; freed by the caller. */
static int texts_of(const char ***texts, double **keys, const struct json *list, struct err *e)
{
    size_t n = json_kind(list) == JSON_ARRAY_ ? json_size(list) : 0, length;
    const char **t;
    double *k;

    if (n < 2)
        return err_set(e, E_INPUT, "a ranking needs at least two answers, in a list");
    t = calloc(n, sizeof *t);
    k = calloc(n, sizeof *k);
    *texts = t;
    *keys = k;
    if (!t || !k)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        t[i] = json_text(json_at(list, i), &length);
        if (!t[i])
            return err_set(e, E_INPUT, "answer %zu is no string", i + 1);
    }
    return OK;
}

static int read_keys(double *keys, const struct json *of, size_t n, const char *what, struct err *e)
{
    if (json_kind(of) != JSON_ARRAY_ || json_size(of) != n)
        return err_set(e, E_INPUT, "there is not one of '%s' for each answer", what);
    for (size_t i = 0; i < n; i++) {
        keys[i] = -number_of(json_at(of, i)); /* higher is better */
        if (!isfinite(keys[i]))
            return err_set(e, E_INPUT, "'%s' %zu is no number", what, i + 1);
    }
    return OK;
}

static int read_tiers(double *keys, const struct json *tiers, size_t n, struct err *e)
{
    size_t ranked = 0;

    for (size_t i = 0; i < n; i++)
        keys[i] = NAN;
    for (size_t t = 0; t < json_size(tiers); t++) {
        const struct json *tier = json_at(tiers, t);
        if (!tier || json_kind(tier) != JSON_ARRAY_ || json_size(tier) == 0)
            return err_set(e, E_INPUT, "tier %zu is no list of answers", t + 1);
        for (size_t i = 0; i < json_size(tier); i++, ranked++) {
            double d = json_number(json_at(tier, i), -1);
            if (!(d >= 0 && d < (double)n) || d != (double)(size_t)d)
                return err_set(e, E_INPUT, "tier %zu: there are answers 0 to %zu", t + 1, n - 1);
            if (!isnan(keys[(size_t)d]))
                return err_set(e, E_INPUT, "answer %zu is ranked twice", (size_t)d);
            keys[(size_t)d] = (double)t;
        }
    }
    return ranked >= 2 ? OK : err_set(e, E_INPUT, "fewer than two answers are ranked");
}

/* The answers are a list; `keyed` says what their order is. */
static int give_list(struct shaping *x, const struct record *r, const struct json *list,
    int (*keyed)(double *keys, const struct record *r, size_t n, struct err *e), struct err *e)
{
    const char **texts = NULL;
    double *keys = NULL;
    int rc = texts_of(&texts, &keys, list, e);

    if (rc == OK)
        rc = keyed(keys, r, json_size(list), e);
    if (rc == OK)
        rc = give_record(x, r, texts, keys, json_size(list), e);
    free(texts);
    free(keys);
    return rc;
}

static int key_by_place(double *keys, const struct record *r, size_t n, struct err *e)
{
    (void)r, (void)e;
    for (size_t i = 0; i < n; i++)
        keys[i] = (double)i;
    return OK;
}

static int key_by_tier(double *keys, const struct record *r, size_t n, struct err *e)
{
    return read_tiers(keys, record_get(r, "tiers"), n, e);
}

static int key_by_score(double *keys, const struct record *r, size_t n, struct err *e)
{
    static const char *const names[] = { "scores", "ratings", "rewards", NULL };

    return read_keys(keys, list_of(r, names), n, "scores", e);
}

int shape_list(struct shaping *x, const struct record *r, struct err *e)
{
    static const char *const names[] = { "output", "answers", NULL };

    return give_list(x, r, list_of(r, names), key_by_place, e);
}

int shape_tiers(struct shaping *x, const struct record *r, struct err *e)
{
    return give_list(x, r, record_get(r, "answers"), key_by_tier, e);
}

int shape_scores(struct shaping *x, const struct record *r, struct err *e)
{
    static const char *const names[] = { "answers", "responses", "outputs", "completions", NULL };

    return give_list(x, r, list_of(r, names), key_by_score, e);
}

/* What an answer is called in an object of its own, and how good it is. */
static int rated(const char **text, double *key, const struct json *answer, struct err *e)
{
    static const char *const texts[] = { "response", "answer", "text", "content", "completion" };
    static const char *const keys[] = { "overall_score", "score", "rating", "rank" };
    const struct json *found = NULL, *by = NULL;
    size_t length, i = 0;

    for (size_t k = 0; !found && k < sizeof texts / sizeof *texts; k++)
        found = json_get(answer, texts[k]);
    while (i < sizeof keys / sizeof *keys && !(by = json_get(answer, keys[i])))
        i++;
    *text = found ? json_text(found, &length) : NULL;
    *key = by ? number_of(by) : NAN;
    if (!*text)
        return err_set(e, E_INPUT, "no text of its own: 'response', 'answer' or 'text'");
    if (!isfinite(*key))
        return err_set(
            e, E_INPUT, "no number says how good it is: 'overall_score', 'score' or 'rank'");
    *key = strcmp(keys[i], "rank") == 0 ? *key : -*key; /* higher is better, but of ranks */
    return OK;
}

int shape_rated(struct shaping *x, const struct record *r, struct err *e)
{
    static const char *const names[] = { "completions", "answers", "responses", NULL };
    const struct json *list = list_of(r, names);
    const char *texts[64];
    double keys[64];
    size_t n = json_size(list);

    if (n < 2 || n > 64)
        return err_set(e, E_INPUT, "%zu answers: a ranking has from 2 to 64", n);
    for (size_t i = 0; i < n; i++)
        if (rated(&texts[i], &keys[i], json_at(list, i), e) != OK)
            return err_wrap(e, "answer %zu", i + 1);
    return give_record(x, r, texts, keys, n, e);
}

/* Every object with `is_correct` is a graded answer: right, or wrong. */
int shape_graded(struct shaping *x, const struct record *r, struct err *e)
{
    const char *texts[64];
    double keys[64];
    size_t n = 0, length;

    record_read_all(r);
    for (size_t i = 0; i < json_size(r->json); i++) {
        const struct json *v = json_value(r->json, i);
        const struct json *grade = json_get(v, "is_correct"), *text = json_get(v, "solution");
        if (!grade || n == 64)
            continue;
        if (json_kind(grade) != JSON_BOOL_ || !text || !json_text(text, &length))
            return err_set(e, E_INPUT,
                "'%.40s' has no 'solution', or 'is_correct' is neither true "
                "nor false",
                json_key(r->json, i));
        keys[n] = json_bool(grade, false) ? 0 : 1;
        texts[n++] = json_text(text, &length);
    }
    if (n < 2)
        return err_set(e, E_INPUT, "fewer than two answers are graded");
    return give_record(x, r, texts, keys, n, e);
}

/* ---- preferences over pairs ---- */

/* An order keeps to the preferences when it says of each pair what they say. */
static bool keeps_to(const double *keys, size_t n, const struct json *preferences)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++) {
            double p = json_number(json_at(preferences, at++), -1);
            double order = keys[i] < keys[k] ? 1 : keys[i] > keys[k] ? 2 : 0;
            if (p != order)
                return false;
        }
    return true;
}

int shape_matrix(struct shaping *x, const struct record *r, struct err *e)
{
    const struct json *preferences = record_get(r, "preference");
    const char *texts[16], *text = "";
    double keys[16] = { 0 };
    size_t n = 0, at = 0;
    char name[32];
    int rc = OK;

    while (rc == OK && text && n < 16) {
        snprintf(name, sizeof name, "prediction %zu", n + 1);
        rc = record_text(&text, r, name, e);
        if (rc == OK && text)
            texts[n++] = text;
    }
    if (rc != OK)
        return rc;
    if (n < 2 || json_size(preferences) != n * (n - 1) / 2)
        return err_set(e, E_INPUT, "%zu answers need %zu preferences", n, n * (n - 1) / 2);
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++) {
            double p = json_number(json_at(preferences, at++), -1);
            if (p != 0 && p != 1 && p != 2)
                return err_set(e, E_INPUT, "preference %zu is none of 0, 1 and 2", at);
            keys[i] += p == 2 ? 1 : p == 1 ? -1 : 0;
            keys[k] += p == 1 ? 1 : p == 2 ? -1 : 0;
        }
    if (!keeps_to(keys, n, preferences)) { /* they go in a circle, or a tie does not carry over */
        *x->fate = FATE_NOT_COMPARED;
        return OK;
    }
    return give_record(x, r, texts, keys, n, e);
}

/* ---- two answers ---- */

/* 1: the first is better, 2: the second, 0: a tie; NaN: it says none of these. */
static double preference_of(const struct json *v, bool from_zero)
{
    static const struct word {
        const char *word;
        double means;
    } words[] = { { "first", 1 }, { "second", 2 }, { "a", 1 }, { "b", 2 }, { "model_a", 1 },
        { "model_b", 2 }, { "output_1", 1 }, { "output_2", 2 }, { "response_a", 1 },
        { "response_b", 2 }, { "tie", 0 }, { "equal", 0 }, { "both", 0 }, { "neither", 0 },
        { "tie (bothbad)", 0 } };
    size_t n;
    const char *text = json_text(v, &n);
    double d = number_of(v);

    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
        if (strcasecmp(words[i].word, text) == 0)
            return words[i].means;
    d = from_zero && (d == 0 || d == 1) ? d + 1 : from_zero && d == -1 ? 0 : d;
    return d == 0 || d == 1 || d == 2 ? d : NAN;
}

int shape_two(struct shaping *x, const struct record *r, struct err *e)
{
    static const struct pair {
        const char *first, *second;
        bool from_zero;
    } pairs[] = { { "first", "second", false }, { "output_1", "output_2", false },
        { "response_a", "response_b", false }, { "response_1", "response_2", false },
        { "response_0", "response_1", true }, { "answer_1", "answer_2", false },
        { "answer_a", "answer_b", false }, { "completion_a", "completion_b", false } };
    static const char *const labels[] = { "preference", "label", "winner", "choice", "better",
        "better_response_id", NULL };
    const struct json *label = list_of(r, labels);
    const char *texts[2];

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        int rc = record_text(&texts[0], r, pairs[i].first, e);
        if (rc == OK)
            rc = record_text(&texts[1], r, pairs[i].second, e);
        if (rc != OK)
            return rc;
        if (!texts[0] || !texts[1])
            continue;
        double p = preference_of(label, pairs[i].from_zero);
        double keys[2] = { p == 2 ? 1 : 0, p == 1 ? 1 : 0 };
        if (isnan(p))
            return err_set(e, E_INPUT, "the preference names neither answer, nor a tie");
        return give_record(x, r, texts, keys, 2, e);
    }
    return err_set(e, E_INPUT, "one of the two answers is missing");
}

/* Stanford's: labels 1, and A has more votes, or 0. */
int shape_votes(struct shaping *x, const struct record *r, struct err *e)
{
    double label = number_of(record_get(r, "labels"));
    struct conversation c = { 0 };
    const char *post, *texts[2];
    double keys[2] = { label == 1 ? 0 : 1, label == 1 ? 1 : 0 };
    int rc = record_text(&post, r, "history", e);

    if (rc == OK)
        rc = record_text(&texts[0], r, "human_ref_A", e);
    if (rc == OK)
        rc = record_text(&texts[1], r, "human_ref_B", e);
    if (rc == OK && label != 0 && label != 1)
        rc = err_set(e, E_INPUT, "'labels' is neither 0 nor 1");
    if (rc == OK)
        rc = conversation_add(&c, ROLE__USER, post, e);
    if (rc == OK)
        rc = give(x, &c, texts, keys, 2, e);
    conversation_free(&c);
    return rc;
}

/* Equal answers are a tie, whatever they are called. */
static int give_pair(struct shaping *x, const struct record *r, struct conversation *c,
    const char *better, const char *worse, bool tied, struct err *e)
{
    const struct json *high = record_get(r, "score_chosen"), *low = record_get(r, "score_rejected");
    double by = high && low ? number_of(high) - number_of(low) : 1;
    const char *texts[2] = { better, worse };
    double keys[2] = { 0, tied || by == 0 || strcmp(better, worse) == 0 ? 0 : 1 };

    if (!(by >= 0))
        return err_set(e, E_INPUT, "what is rejected has the higher score");
    return give(x, c, texts, keys, 2, e);
}

int shape_pair(struct shaping *x, const struct record *r, struct err *e)
{
    static const char *const good[] = { "chosen", "response_j", NULL };
    static const char *const bad[] = { "rejected", "response_k", NULL };
    struct conversation c = { 0 };
    const char *better = NULL, *worse = NULL, *name;
    int rc = record_text_of(&better, &name, r, good, e);

    if (rc == OK)
        rc = record_text_of(&worse, &name, r, bad, e);
    if (rc == OK)
        rc = conversation_add_question(&c, r, e);
    if (rc == OK)
        rc = give_pair(x, r, &c, better, worse, false, e);
    conversation_free(&c);
    return rc;
}

/* Two whole dialogues: what is compared are their last turns, when all before them is the same. */
int shaping_give_pair(struct shaping *x, const struct record *r, struct conversation both[2],
    bool tied, struct err *e)
{
    struct conversation last = { 0 };
    int rc = OK;

    for (size_t i = 0; rc == OK && i < 2; i++) {
        const Turn *turn = both[i].n > 0 ? both[i].turns[both[i].n - 1] : NULL;
        if (!turn || turn->role != ROLE__ASSISTANT)
            return err_set(e, E_INPUT, "'%s' does not end with the assistant's turn",
                i ? "rejected" : "chosen");
    }
    for (size_t i = 0; rc == OK && i < 2; i++) {
        rc = conversation_add(&last, ROLE__ASSISTANT, both[i].turns[both[i].n - 1]->text, e);
        conversation_drop(&both[i]);
    }
    if (rc == OK && !conversation_equal(&both[0], &both[1]))
        rc = err_set(e, E_INPUT, "'chosen' and 'rejected' do not answer the same prompt");
    if (rc == OK)
        rc = give_pair(x, r, &both[0], last.turns[0]->text, last.turns[1]->text, tied, e);
    conversation_free(&last);
    return rc;
}

/* Turns that are given as a list begin with the question themselves, or leave it to the record. */
static int add_list(
    struct conversation *c, const struct record *r, const struct json *list, struct err *e)
{
    int rc = conversation_add_messages(c, list, e);

    if (rc != OK || c->turns[0]->role != ROLE__ASSISTANT)
        return rc;
    conversation_free(c);
    rc = conversation_add_question(c, r, e);
    return rc == OK ? conversation_add_messages(c, list, e) : rc;
}

/* {conversations, chosen: turn, rejected: turn}; or {chosen: [turns], rejected: [turns]} with the
 * question in them, in a text `prompt` or in a list of turns of that name. */
static int add_side(
    struct conversation *c, const struct record *r, const struct json *side, struct err *e)
{
    const struct json *before = record_get(r, "conversations"), *prompt = record_get(r, "prompt");
    bool list = json_kind(side) == JSON_ARRAY_;
    int rc = OK;

    if (prompt && json_kind(prompt) == JSON_ARRAY_)
        before = prompt;
    else if (list)
        return add_list(c, r, side, e);
    rc = conversation_add_system(c, r, e);
    if (rc == OK && before)
        rc = conversation_add_messages(c, before, e);
    if (rc == OK)
        rc = list ? conversation_add_messages(c, side, e) : conversation_add_message(c, side, e);
    return rc;
}

static int add_sides(
    struct conversation both[2], const struct record *r, const char *const *names, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; rc == OK && i < 2; i++) {
        rc = add_side(&both[i], r, record_get(r, names[i]), e);
        if (rc == E_INPUT)
            err_wrap(e, "%s", names[i]);
    }
    return rc;
}

int shape_pair_of_turns(struct shaping *x, const struct record *r, struct err *e)
{
    static const char *const names[] = { "chosen", "rejected" };
    struct conversation both[2] = { 0 };
    int rc = add_sides(both, r, names, e);

    if (rc == OK)
        rc = shaping_give_pair(x, r, both, false, e);
    conversation_free(&both[0]);
    conversation_free(&both[1]);
    return rc;
}

/* {conversation_a: [turns], conversation_b: [turns], winner} */
int shape_two_dialogues(struct shaping *x, const struct record *r, struct err *e)
{
    static const char *const names[][2] = { { "conversation_a", "conversation_b" },
        { "conversation_b", "conversation_a" } };
    double p = preference_of(record_get(r, "winner"), false);
    struct conversation both[2] = { 0 };
    int rc = isnan(p) ? err_set(e, E_INPUT, "'winner' names neither dialogue, nor a tie")
                      : add_sides(both, r, names[p == 2], e);

    if (rc == OK)
        rc = shaping_give_pair(x, r, both, p == 0, e);
    conversation_free(&both[0]);
    conversation_free(&both[1]);
    return rc;
}
