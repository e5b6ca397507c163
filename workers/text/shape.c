#include "workers/text/shape_int.h"

#include <string.h>

#define DEMO (GIVES_DEMONSTRATION | GIVES_PROMPT)
#define RANK (GIVES_RANKING | GIVES_PROMPT)

/* `fields`: what a record of the shape has, with commas between them; a|b: one of them; what
 * follows tells the kind: $ text, [ list, : list of objects, { object, ? true or false, nothing:
 * any. `mapped`: only where a format names the fields, because by themselves they may mean
 * something else. */
static const struct shape {
    const char *name;
    unsigned gives;
    const char *fields;
    int (*read)(struct shaping *x, const struct record *r, struct err *e);
    bool mapped;
} shapes[] = {
    { "message tree with ranks (OASST)", RANK, "message_tree_id$,prompt{", shape_tree, false },
    { "single message of a tree (OASST)", RANK | DEMO | GIVES_TEXT, "message_id$,role$,text$",
        shape_single_message, false },
    { "graded answers", RANK, "question$,ground_truth$", shape_graded, false },
    { "preferences over all pairs", RANK, "question$,prediction 1$,preference[", shape_matrix,
        false },
    { "answers in tiers", RANK, "prompt|instruction|question$,answers[,tiers[", shape_tiers,
        false },
    { "answers with scores", RANK,
        "prompt|instruction|question$,answers|responses|outputs|completions[,"
        "scores|ratings|rewards[",
        shape_scores, false },
    { "answers that say their score or rank", RANK,
        "prompt|instruction|question$,completions|answers|responses:", shape_rated, false },
    { "two answers to a post (SHP)", RANK, "history$,human_ref_A$,human_ref_B$,labels", shape_votes,
        false },
    { "two answers with a preference", RANK,
        "prompt|instruction|question$,"
        "first|output_1|response_a|response_1|response_0|answer_1|answer_a|completion_a$,"
        "preference|label|winner|choice|better|better_response_id",
        shape_two, false },
    { "paired answers (response_j is better)", RANK,
        "prompt|instruction|question$,response_j$,response_k$", shape_pair, false },
    { "chosen and rejected", RANK, "prompt|instruction|question$,chosen$,rejected$", shape_pair,
        false },
    { "chosen and rejected (ShareGPT turns)", RANK, "conversations[,chosen{,rejected{",
        shape_pair_of_turns, false },
    { "chosen and rejected (chat turns)", RANK, "chosen[,rejected[", shape_pair_of_turns, false },
    { "two dialogues with a preference", RANK, "conversation_a[,conversation_b[,winner$",
        shape_two_dialogues, false },
    { "chosen and rejected (HH dialogues)", RANK, "chosen$,rejected$", shape_pair_of_dialogues,
        false },
    { "answers, best first", RANK, "prompt|instruction|question$,output[", shape_list, false },
    { "answers, best first", RANK, "prompt$,answers[", shape_list, true },
    { "answers with a label (KTO)", DEMO, "messages[,label?", shape_labelled, false },
    { "answers with a label (KTO)", DEMO, "prompt$,completion$,label?", shape_labelled, false },
    { "prompt and completion (chat turns)", DEMO, "prompt[,completion[", shape_completion, false },
    { "ShareGPT", DEMO, "conversations|conversation[", shape_messages, false },
    { "chat messages", DEMO, "messages[", shape_messages, false },
    { "instructions with instances", DEMO, "instruction$,instances[", shape_instances, false },
    { "Alpaca", DEMO, "instruction$,output$", shape_answer, false },
    { "question and answer", DEMO,
        "prompt|instruction|question|query|ask$,answer|output|completion|response$", shape_answer,
        false },
    { "prompts", GIVES_PROMPT, "prompt|instruction|question|query|ask$", shape_prompt, false },
    { "text", GIVES_TEXT, "text$", shape_text, false },
    { "text", GIVES_TEXT, "content$", shape_text, false },
    { "poems or chapters", GIVES_TEXT, "paragraphs[", shape_poem, false },
    { "poems or chapters", GIVES_TEXT, "content[", shape_nested_text, false },
};
#define SHAPES (sizeof shapes / sizeof *shapes)
#define FIELD_NAME 64 /* bytes of a field's name, its end included */

const char *shape_name(const struct shape *s)
{
    return s->name;
}

unsigned shape_gives(const struct shape *s)
{
    return s->gives;
}

const char *gives_name(unsigned gives)
{
    return gives & GIVES_RANKING         ? "rankings"
           : gives & GIVES_DEMONSTRATION ? "demonstrations"
           : gives & GIVES_PROMPT        ? "prompts"
                                         : "raw text";
}

/* ---- recognising ---- */

static const struct kind {
    char letter;
    enum json_type type;
    const char *what;
    bool objects; /* in the list */
} kinds[] = {
    { '$', JSON_STRING_, "a text", false },
    { '[', JSON_ARRAY_, "a list", false },
    { ':', JSON_ARRAY_, "a list of objects", true },
    { '{', JSON_OBJECT_, "an object", false },
    { '?', JSON_BOOL_, "true or false", false },
};

/* One of `names` (n bytes, '|' between them); kind NULL: any. */
struct field {
    const char *names;
    size_t n;
    const struct kind *kind;
};

/* *p moves behind it, and its comma. */
static struct field next_field(const char **p)
{
    struct field f = { *p, strcspn(*p, ","), NULL };

    *p += f.n;
    *p += **p == ',';
    for (size_t i = 0; f.n > 0 && !f.kind && i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].letter == f.names[f.n - 1])
            f.kind = &kinds[i];
    f.n -= f.kind != NULL;
    return f;
}

static bool is_of_kind(const struct json *v, const struct kind *kind)
{
    if (json_kind(v) != kind->type)
        return false;
    return !kind->objects || (json_size(v) > 0 && json_kind(json_at(v, 0)) == JSON_OBJECT_);
}

/* name: of what was found. */
static bool has_field(
    const struct record *r, struct field f, const struct kind *kind, char name[FIELD_NAME])
{
    for (size_t at = 0, length; at < f.n; at += length + 1) {
        const char *bar = memchr(f.names + at, '|', f.n - at);
        length = bar ? (size_t)(bar - f.names) - at : f.n - at;
        if (length >= FIELD_NAME)
            continue;
        memcpy(name, f.names + at, length);
        name[length] = '\0';
        const struct json *v = record_get(r, name);
        if (v && (!kind || is_of_kind(v, kind)))
            return true;
    }
    return false;
}

static bool fits(const struct shape *s, const struct record *r)
{
    char name[FIELD_NAME];

    if (s->mapped && !r->format)
        return false;
    for (const char *p = s->fields; *p;) {
        struct field f = next_field(&p);
        if (!has_field(r, f, f.kind, name))
            return false;
    }
    return true;
}

/* A shape all of whose fields the record has, were one of them of the right kind. *kind: what that
 * of `name` should be. A list without objects may be another shape's. */
static bool nearly_fits(
    const struct shape *s, const struct record *r, const struct kind **kind, char name[FIELD_NAME])
{
    char any[FIELD_NAME];

    *kind = NULL;
    if (s->mapped && !r->format)
        return false;
    for (const char *p = s->fields; *p;) {
        struct field f = next_field(&p);
        if (has_field(r, f, f.kind, any))
            continue;
        if (*kind || (f.kind && f.kind->objects) || !has_field(r, f, NULL, name))
            return false;
        *kind = f.kind;
    }
    return *kind != NULL;
}

const struct shape *shape_find(const struct record *r, unsigned want)
{
    const struct shape *first = NULL;

    for (size_t i = 0; i < SHAPES; i++) {
        if ((first && !(shapes[i].gives & want)) || !fits(&shapes[i], r))
            continue;
        if (shapes[i].gives & want)
            return &shapes[i];
        first = &shapes[i];
    }
    return first;
}

/* ---- reading ---- */

/* OK: nothing better is known to say. */
static int wrong_kind(unsigned want, const struct record *r, struct err *e)
{
    const struct kind *kind;
    char name[FIELD_NAME];

    for (size_t i = 0; i < SHAPES; i++)
        if (shapes[i].gives & want && nearly_fits(&shapes[i], r, &kind, name))
            return err_set(e, E_INPUT, "'%s' must be %s", name, kind->what);
    return OK;
}

/* {"data": [{…}, …]} */
static const char *list_of_objects(const struct json *v)
{
    for (size_t i = 0; i < json_size(v); i++) {
        const struct json *list = json_value(v, i);
        if (json_kind(list) == JSON_ARRAY_ && json_size(list) > 0 &&
            json_kind(json_at(list, 0)) == JSON_OBJECT_)
            return json_key(v, i);
    }
    return NULL;
}

static int unknown_shape(const struct record *r, struct err *e)
{
    const char *list = list_of_objects(r->json);
    struct buf fields = { 0 };

    record_fields(&fields, r);
    if (list)
        err_set(e, E_INPUT,
            "no known shape has the fields %s: if the records are those in '%.60s', give that list "
            "as a file",
            fields.p, list);
    else
        err_set(e, E_INPUT,
            "no known shape has the fields %s: name them, e.g. `format: {prompt: …, "
            "answer: …}`",
            fields.p ? fields.p : "of this record");
    buf_free(&fields);
    return e->code;
}

static int without_answer(const struct record *r, struct err *e)
{
    struct buf fields = { 0 };

    record_fields(&fields, r);
    err_set(e, E_INPUT, "a question, but no answer that is known as one: the fields are %s",
        fields.p ? fields.p : "");
    buf_free(&fields);
    return e->code;
}

int shape_read(struct shaping *x, const struct record *r, enum fate *fate, struct err *e)
{
    const struct record unmarked = { r->json, r->format, NULL };
    const struct shape *s = shape_find(&unmarked, x->want);
    bool unanswered = s && s->gives == GIVES_PROMPT && !(x->want & (GIVES_PROMPT | GIVES_TEXT));

    if ((!s || unanswered) && wrong_kind(x->want, &unmarked, e) != OK)
        return e->code;
    if (!s)
        return unknown_shape(r, e);
    if (unanswered)
        return without_answer(r, e);
    if (!(s->gives & x->want))
        return err_set(e, E_INPUT, "this is '%s', which gives %s and not %s", s->name,
            gives_name(s->gives), gives_name(x->want));
    x->record = r;
    x->fate = fate;
    x->given = 0;
    return s->read(x, r, e);
}

int shaping_give(struct shaping *x, struct conversation *c, Ranking *answers, struct err *e)
{
    x->given++;
    return x->take(x, c, answers, (struct span){ 0 }, e);
}

int shaping_give_text(struct shaping *x, const char *text, size_t n, struct err *e)
{
    x->given++;
    return x->take(x, NULL, NULL, (struct span){ text, n }, e);
}
