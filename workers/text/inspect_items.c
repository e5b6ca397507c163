#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"
#include "workers/text/inspect_int.h"
#include "workers/text/template.h"

#define FIRST 3  /* items that are shown */
#define HEAD 200 /* characters of a text that are shown at its beginning, */
#define TAIL 60  /* and at its end */
#define LEARNT_BEGINS "⟦"
#define LEARNT_ENDS "⟧"

/* ---- counting ---- */

int facts_count(Fact ***facts, size_t *n, const char *name, int64_t by, struct err *e)
{
    Fact **more, *one;

    for (size_t i = 0; i < *n; i++) {
        if (strcmp((*facts)[i]->name, name) == 0) {
            (*facts)[i]->value += by;
            return OK;
        }
    }
    more = realloc(*facts, (*n + 1) * sizeof **facts);
    if (more)
        *facts = more;
    one = more ? malloc(sizeof *one) : NULL;
    if (!one)
        return err_set(e, E_NOMEM, "out of memory");
    fact__init(one);
    one->name = strdup(name);
    one->has_value = true;
    one->value = by;
    (*facts)[(*n)++] = one;
    return one->name ? OK : err_set(e, E_NOMEM, "out of memory");
}

static int add_string(char ***strings, size_t *n, const char *p, size_t length, struct err *e)
{
    char **more = realloc(*strings, (*n + 1) * sizeof **strings);
    char *copy = more ? strndup(p, length) : NULL;

    if (more)
        *strings = more;
    if (!copy)
        return err_set(e, E_NOMEM, "out of memory");
    (*strings)[(*n)++] = copy;
    return OK;
}

static void count_text(struct inspecting *x, const char *p, size_t n, struct spread *s)
{
    spread_add(s, utf8_count(p, n));
    for (const char *end = p + n; n >= 3 && (p = memchr(p, '\xef', (size_t)(end - p))); p++)
        x->m->replacement_characters += end - p >= 3 && memcmp(p, "\xef\xbf\xbd", 3) == 0;
}

static int count_turns(struct inspecting *x, Turn *const *turns, size_t n, struct err *e)
{
    uint64_t before = 0;
    struct buf all = { 0 };
    bool seen = false;
    int rc = OK;

    for (size_t i = 0; i < n && rc == OK; i++) {
        before += utf8_count(turns[i]->text, strlen(turns[i]->text));
        rc = buf_printf(&all, "%d%s%c", (int)turns[i]->role, turns[i]->text, '\x1f');
    }
    if (rc == OK)
        rc = intake_seen(&seen, x->prompts, (struct span){ all.p, all.n }, e);
    x->m->duplicate_prompts += seen;
    spread_add(&x->prompt_length, before);
    buf_free(&all);
    return rc;
}

static int count_item(struct inspecting *x, struct span whole, struct err *e)
{
    bool seen = false;
    int rc = intake_seen(&seen, x->items, whole, e);

    x->m->duplicate_items += seen;
    x->languages[script_of(whole)]++;
    return rc;
}

static int count_tokens(struct inspecting *x, Turn *const *turns, size_t n, struct err *e)
{
    struct ids ids = { 0 };
    uint8_t *mask = NULL;
    int rc;

    if (!x->o->tokenizer)
        return OK;
    rc = template_conversation(x->o->tokenizer, &ids, &mask, turns, n, e);
    if (rc == OK)
        spread_add(&x->tokens, ids.n);
    ids_free(&ids);
    free(mask);
    return rc;
}

/* ---- showing ---- */

/* Its beginning and its end, when it is long. */
static int shorten(struct buf *out, const char *text)
{
    size_t n = strlen(text), all = utf8_count(text, n), from, to;

    if (all <= HEAD + TAIL + 20)
        return buf_add(out, text, n);
    for (from = 0, to = 0; to < HEAD; to++)
        for (from++; (text[from] & 0xc0) == 0x80; from++)
            ;
    int rc = buf_add(out, text, from);
    if (rc == OK)
        rc = buf_printf(out, " … %zu characters … ", all - HEAD - TAIL);
    for (from = n, to = 0; to < TAIL; to++)
        for (from--; (text[from] & 0xc0) == 0x80; from--)
            ;
    return rc == OK ? buf_add(out, text + from, n - from) : rc;
}

/* learnt: they are a demonstration; else a prompt, of which nothing is. */
static int show_turns(struct buf *out, const struct inspecting *x, Turn *const *turns, size_t n,
    bool learnt, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < n && rc == OK; i++) {
        Turn turn = *turns[i];
        struct buf text = { 0 };
        rc = shorten(&text, turns[i]->text) == OK ? OK : err_set(e, E_NOMEM, "out of memory");
        turn.text = text.p;
        if (rc == OK)
            rc = template_render(out, x->o->template_, x->o->end_of_answer, &turn, i + 1 == n,
                learnt ? LEARNT_BEGINS : "", learnt ? LEARNT_ENDS : "", e);
        buf_free(&text);
    }
    return rc;
}

static int show_answers(struct buf *out, const struct inspecting *x, const Ranking *r)
{
    int rc = buf_printf(out, "%s", x->o->template_->assistant_prefix);

    for (size_t t = 0; t < r->n_tiers && rc == OK; t++) {
        const Tier *tier = r->tiers[t];
        for (size_t i = 0; i < tier->n_answers && rc == OK; i++) {
            rc = buf_printf(out, "\n%s%zu: %s", i ? "= " : "", t + 1, LEARNT_BEGINS);
            if (rc == OK)
                rc = shorten(out, r->answers[tier->answers[i]]->text);
            if (rc == OK)
                rc = buf_printf(out, "%s%s", x->o->end_of_answer, LEARNT_ENDS);
        }
    }
    return rc;
}

static int keep_first(struct inspecting *x, const struct buf *shown, int rc, struct err *e)
{
    if (rc == OK)
        rc = add_string(&x->m->first, &x->m->n_first, shown->p, shown->n, e);
    return rc == E_NOMEM ? err_set(e, rc, "out of memory") : rc;
}

/* ---- items ---- */

int inspect_document(void *ctx, const char *text, size_t n, struct err *e)
{
    struct inspecting *x = ctx;
    struct buf copy = { 0 }, shown = { 0 };
    struct ids ids = { 0 };
    int rc = OK;

    count_text(x, text, n, &x->documents);
    x->languages[script_of((struct span){ text, n })]++;
    if (x->o->tokenizer) {
        rc = tokenizer_encode(x->o->tokenizer, &ids, text, n, e);
        if (rc == OK)
            spread_add(&x->tokens, ids.n);
        ids_free(&ids);
    }
    if (rc != OK || x->m->n_first >= FIRST)
        return rc;
    rc = buf_add(&copy, text, n);
    if (rc == OK)
        rc = buf_printf(&shown, "%s", LEARNT_BEGINS);
    if (rc == OK)
        rc = shorten(&shown, copy.p);
    if (rc == OK)
        rc = buf_printf(&shown, "<end of text>%s", LEARNT_ENDS);
    rc = keep_first(x, &shown, rc, e);
    buf_free(&copy);
    buf_free(&shown);
    return rc;
}

int inspect_demonstration(void *ctx, const struct conversation *c, struct err *e)
{
    struct inspecting *x = ctx;
    const char *answer = c->turns[c->n - 1]->text;
    struct buf all = { 0 }, shown = { 0 };
    int rc = OK;

    for (size_t i = 0; i < c->n && rc == OK; i++)
        rc = buf_printf(&all, "%s%c", c->turns[i]->text, '\x1f');
    spread_add(&x->turns, c->n);
    count_text(x, answer, strlen(answer), &x->answers);
    if (rc == OK)
        rc = count_item(x, (struct span){ all.p, all.n }, e);
    if (rc == OK)
        rc = count_turns(x, c->turns, c->n - 1, e);
    if (rc == OK)
        rc = count_tokens(x, c->turns, c->n, e);
    if (rc == OK && x->m->n_first < FIRST) {
        rc = show_turns(&shown, x, c->turns, c->n, true, e);
        rc = keep_first(x, &shown, rc, e);
    }
    buf_free(&all);
    buf_free(&shown);
    return rc;
}

static int count_answers(struct inspecting *x, const Ranking *r, struct buf *all, struct err *e)
{
    size_t n = r->prompt->n_turns;
    Turn **turns = calloc(n + 1, sizeof *turns), last = TURN__INIT;
    int rc = turns ? OK : err_set(e, E_NOMEM, "out of memory");

    for (size_t i = 0; i < n && rc == OK; i++)
        turns[i] = r->prompt->turns[i];
    last.role = ROLE__ASSISTANT;
    for (size_t i = 0; i < r->n_answers && rc == OK; i++) {
        last.text = r->answers[i]->text;
        turns[n] = &last;
        count_text(x, last.text, strlen(last.text), &x->answers);
        x->m->empty_answers += text_blank(last.text, strlen(last.text));
        rc = buf_printf(all, "%s%c", last.text, '\x1f');
        if (rc == OK)
            rc = count_tokens(x, turns, n + 1, e);
    }
    free(turns);
    return rc;
}

static void count_ties(struct inspecting *x, const Ranking *r)
{
    uint64_t ranked = 0;

    for (size_t t = 0; t < r->n_tiers; t++) {
        uint64_t n = r->tiers[t]->n_answers;
        ranked += n;
        x->m->tied_pairs += n * (n - 1) / 2;
    }
    x->m->pairs += ranked * (ranked - (ranked > 0)) / 2;
    x->m->all_tied += r->n_tiers < 2;
    x->with_answers[r->n_answers < ANSWERS_MAX ? r->n_answers : ANSWERS_MAX]++;
}

int inspect_ranking(void *ctx, Ranking *r, struct err *e)
{
    struct inspecting *x = ctx;
    const Prompt *p = r->prompt;
    struct buf all = { 0 }, shown = { 0 };
    int rc = OK;

    for (size_t i = 0; i < p->n_turns && rc == OK; i++)
        rc = buf_printf(&all, "%s%c", p->turns[i]->text, '\x1f');
    count_ties(x, r);
    spread_add(&x->turns, p->n_turns);
    if (rc == OK)
        rc = count_answers(x, r, &all, e);
    if (rc == OK)
        rc = count_item(x, (struct span){ all.p, all.n }, e);
    if (rc == OK)
        rc = count_turns(x, p->turns, p->n_turns, e);
    if (rc == OK && x->m->n_first < FIRST) {
        rc = show_turns(&shown, x, p->turns, p->n_turns, false, e);
        if (rc == OK)
            rc = show_answers(&shown, x, r);
        rc = keep_first(x, &shown, rc, e);
    }
    buf_free(&all);
    buf_free(&shown);
    message_free(r);
    return rc;
}

int inspect_prompt(void *ctx, Prompt *p, struct err *e)
{
    struct inspecting *x = ctx;
    const char *last = p->turns[p->n_turns - 1]->text;
    struct buf shown = { 0 };
    int rc = count_turns(x, p->turns, p->n_turns, e);

    spread_add(&x->turns, p->n_turns);
    x->languages[script_of((struct span){ last, strlen(last) })]++;
    if (rc == OK && x->m->n_first < FIRST) {
        rc = show_turns(&shown, x, p->turns, p->n_turns, false, e);
        if (rc == OK)
            rc = buf_printf(&shown, "%s", x->o->template_->assistant_prefix);
        rc = keep_first(x, &shown, rc, e);
    }
    buf_free(&shown);
    message_free(p);
    return rc;
}

/* ---- the end ---- */

static int add_lines(char ***strings, size_t *n, const char *text, struct err *e)
{
    int rc = OK;

    while (*text && rc == OK) {
        size_t length = strcspn(text, "\n");
        rc = add_string(strings, n, text, length, e);
        text += length + (text[length] == '\n');
    }
    return rc;
}

static int finish_counts(struct inspecting *x, struct err *e)
{
    const struct intake_counts *c = intake_counts(x->im);
    InspectedInput *m = x->m;
    char name[32];
    int rc = OK;

    m->has_files = m->has_refused = m->has_read = m->has_used = m->has_items = true;
    m->files = c->files;
    m->refused = c->refused;
    m->read = c->read;
    m->used = c->fates[FATE_USED];
    m->items = c->items;
    for (int fate = FATE_USED + 1; fate < FATES && rc == OK; fate++)
        if (c->fates[fate] > 0)
            rc = facts_count(
                &m->dropped, &m->n_dropped, fate_name((enum fate)fate), (int64_t)c->fates[fate], e);
    for (int s = 0; s < SCRIPTS && rc == OK; s++)
        if (x->languages[s] > 0)
            rc = facts_count(&m->languages, &m->n_languages, script_name((enum script)s),
                (int64_t)x->languages[s], e);
    for (int k = 0; k <= ANSWERS_MAX && rc == OK; k++) {
        snprintf(name, sizeof name, "%d", k);
        if (x->with_answers[k] > 0)
            rc = facts_count(&m->answers_to_a_prompt, &m->n_answers_to_a_prompt, name,
                (int64_t)x->with_answers[k], e);
    }
    return rc;
}

int inspect_finish(struct inspecting *x, struct err *e)
{
    InspectedInput *m = x->m;
    char left[160];
    int rc = finish_counts(x, e);

    m->has_replacement_characters = true;
    m->has_duplicate_items = m->has_duplicate_prompts = x->gives != GIVES_TEXT;
    m->has_pairs = m->has_tied_pairs = m->has_all_tied = m->has_empty_answers =
        x->gives == GIVES_RANKING;
    m->gives = strdup(gives_name(x->gives));
    if (rc == OK)
        rc = spread_message(&m->documents, &x->documents, e);
    if (rc == OK)
        rc = spread_message(&m->prompts, &x->prompt_length, e);
    if (rc == OK)
        rc = spread_message(&m->answers, &x->answers, e);
    if (rc == OK)
        rc = spread_message(&m->turns, &x->turns, e);
    if (rc == OK)
        rc = spread_message(&m->tokens, &x->tokens, e);
    if (rc == OK)
        rc = add_lines(&m->problems, &m->n_problems, intake_complaints(x->im), e);
    if (rc == OK)
        rc = add_lines(&m->notes, &m->n_notes, intake_notes(x->im), e);
    if (rc == OK && files_left_say(left, sizeof left, &x->left))
        rc = add_lines(&m->notes, &m->n_notes, left, e);
    return rc == OK && !m->gives ? err_set(e, E_NOMEM, "out of memory") : rc;
}
