#include <string.h>

#include "proto/utf8.h"
#include "workers/tasks/report.h"

/* One table of what is shown for each stage, in this order. */
static int cell_right(struct buf *o, const ReportStage *s)
{
    return s->has_right_answers ? buf_printf(o, "%.1f %%", 100 * s->right_answers)
                                : buf_printf(o, "–");
}
static int cell_answers(struct buf *o, const ReportStage *s)
{
    return s->has_answers_at_all ? buf_printf(o, "%.1f %%", 100 * s->answers_at_all)
                                 : buf_printf(o, "–");
}
static int cell_gold(struct buf *o, const ReportStage *s)
{
    return s->gold ? buf_printf(o, "%.3f ± %.3f", s->gold->mean, s->gold->ci95)
                   : buf_printf(o, "–");
}
static int cell_reward(struct buf *o, const ReportStage *s)
{
    return s->has_reward ? buf_printf(o, "%.2f", s->reward) : buf_printf(o, "–");
}
static int cell_kl(struct buf *o, const ReportStage *s)
{
    return s->has_kl ? buf_printf(o, "%.2f", s->kl) : buf_printf(o, "–");
}
static int cell_length(struct buf *o, const ReportStage *s)
{
    return s->has_length ? buf_printf(o, "%.1f", s->length) : buf_printf(o, "–");
}
static int cell_end(struct buf *o, const ReportStage *s)
{
    return s->has_end_rate ? buf_printf(o, "%.1f %%", 100 * s->end_rate) : buf_printf(o, "–");
}
static int cell_repetition(struct buf *o, const ReportStage *s)
{
    return s->has_repetition_rate ? buf_printf(o, "%.1f %%", 100 * s->repetition_rate)
                                  : buf_printf(o, "–");
}
static int cell_bits(struct buf *o, const ReportStage *s)
{
    return s->has_bits_per_byte ? buf_printf(o, "%.3f", s->bits_per_byte) : buf_printf(o, "–");
}

static const struct {
    const char *title;
    int (*cell)(struct buf *o, const ReportStage *s);
} lines[] = {
    { "right answers", cell_right },
    { "answers at all, instead of asking back", cell_answers },
    { "gold score (rubric), 95 % interval", cell_gold },
    { "reward model's score", cell_reward },
    { "KL, nats for each answer", cell_kl },
    { "length, tokens", cell_length },
    { "ends by itself", cell_end },
    { "repetition (4-grams)", cell_repetition },
    { "bits per byte of held-out text", cell_bits },
};

/* Text in a table cell or list: control bytes escaped, pipes kept apart. */
static int text(struct buf *o, const char *s)
{
    struct buf plain = { 0 };
    int rc = utf8_escape(&plain, s, strlen(s));

    for (size_t i = 0; i < plain.n && rc == OK; i++) {
        if (plain.p[i] == '|' || plain.p[i] == '`' || plain.p[i] == '<' || plain.p[i] == '*')
            rc = buf_add(o, "\\", 1);
        if (rc == OK)
            rc = buf_add(o, plain.p + i, 1);
    }
    buf_free(&plain);
    return rc;
}

/* What no stage has is left out. */
static int table_line(struct buf *o, const Report *r, size_t line)
{
    struct buf row = { 0 };
    bool known = false;
    int rc = buf_printf(&row, "\n| %s |", lines[line].title);

    for (size_t i = 0; i < r->n_stages && rc == OK; i++) {
        size_t before = row.n;
        rc = buf_printf(&row, " ");
        if (rc == OK)
            rc = lines[line].cell(&row, r->stages[i]);
        known = known || (rc == OK && strcmp(row.p + before, " –") != 0);
        if (rc == OK)
            rc = buf_printf(&row, " |");
    }
    if (rc == OK && known)
        rc = buf_add(o, row.p, row.n);
    buf_free(&row);
    return rc;
}

static int stage_table(struct buf *o, const Report *r)
{
    int rc = buf_printf(o, "| on held-out prompts |");

    for (size_t i = 0; i < r->n_stages && rc == OK; i++)
        rc = buf_printf(o, " %s |", r->stages[i]->name);
    if (rc == OK)
        rc = buf_printf(o, "\n|---|");
    for (size_t i = 0; i < r->n_stages && rc == OK; i++)
        rc = buf_printf(o, "---|");
    for (size_t k = 0; k < sizeof lines / sizeof *lines && rc == OK; k++)
        rc = table_line(o, r, k);
    if (rc == OK && r->n_stages)
        rc = buf_printf(o, "\n\n%u prompts, %u answers from each stage", r->stages[0]->prompts,
            r->stages[0]->answers);
    if (rc == OK && r->kl_reference)
        rc = buf_printf(o, "; KL is measured to %s", r->kl_reference);
    return rc == OK ? buf_printf(o, ".\n") : rc;
}

static int answer_line(struct buf *o, const ReportAnswer *a)
{
    int rc = a->stage ? buf_printf(o, "- %s: ", a->stage) : buf_printf(o, "- ");

    if (rc == OK)
        rc = text(o, a->text);
    if (rc == OK && a->has_ended && !a->ended)
        rc = buf_printf(o, " …");
    if (rc == OK && a->has_gold)
        rc = buf_printf(o, "  (gold %.2f", a->gold);
    if (rc == OK && a->has_reward)
        rc = buf_printf(o, a->has_gold ? ", reward %.2f" : "  (reward %.2f", a->reward);
    if (rc == OK && (a->has_gold || a->has_reward))
        rc = buf_printf(o, ")");
    return rc == OK ? buf_printf(o, "\n") : rc;
}

static int samples(struct buf *o, const char *title, ReportSample *const *s, size_t n)
{
    int rc = n ? buf_printf(o, "\n## %s\n", title) : OK;

    for (size_t i = 0; i < n && rc == OK; i++) {
        rc = buf_printf(o, "\n**");
        if (rc == OK)
            rc = text(o, s[i]->prompt);
        if (rc == OK)
            rc = buf_printf(o, "**");
        if (rc == OK && s[i]->n_accepted) {
            rc = buf_printf(o, "  (");
            if (rc == OK)
                rc = text(o, s[i]->accepted[0]);
            if (rc == OK)
                rc = buf_printf(o, ")");
        }
        if (rc == OK)
            rc = buf_printf(o, "\n\n");
        for (size_t k = 0; k < s[i]->n_answers && rc == OK; k++)
            rc = answer_line(o, s[i]->answers[k]);
    }
    return rc;
}

static int token_name(struct buf *o, const ProtobufCBinaryData *t)
{
    int rc = OK;

    if (utf8_valid(t->data, t->len)) {
        rc = buf_printf(o, "“");
        for (size_t i = 0; i < t->len && rc == OK; i++)
            rc = t->data[i] == '\n' ? buf_printf(o, "\\n") : buf_add(o, &t->data[i], 1);
        return rc == OK ? buf_printf(o, "”") : rc;
    }
    rc = buf_printf(o, "⟨");
    for (size_t i = 0; i < t->len && rc == OK; i++)
        rc = buf_printf(o, "%s%02X", i ? " " : "", t->data[i]);
    return rc == OK ? buf_printf(o, "⟩") : rc;
}

static int next_tokens(struct buf *o, const Report *r)
{
    int rc = r->n_next_tokens ? buf_printf(o, "\n## What may come next\n") : OK;

    for (size_t i = 0; i < r->n_next_tokens && rc == OK; i++) {
        const ReportNextToken *t = r->next_tokens[i];
        rc = buf_printf(o, "\n%s, after **%s**: ", t->stage, t->text);
        for (size_t k = 0; k < t->n_next && rc == OK; k++) {
            rc = k ? buf_printf(o, ", ") : OK;
            if (rc == OK)
                rc = token_name(o, &t->next[k]->token);
            if (rc == OK)
                rc = buf_printf(o, " %.1f %%", 100 * t->next[k]->probability);
        }
        if (rc == OK)
            rc = buf_printf(o, "\n");
    }
    return rc;
}

static int reward_examples(struct buf *o, const Report *r)
{
    int rc = r->n_reward_examples ? buf_printf(o, "\n## What the reward model says\n") : OK;

    for (size_t i = 0; i < r->n_reward_examples && rc == OK; i++) {
        const ReportScores *s = r->reward_examples[i];
        rc = buf_printf(o, "\n**%s**\n\n", s->prompt);
        for (size_t k = 0; k < s->n_answers && rc == OK; k++)
            rc = answer_line(o, s->answers[k]);
    }
    return rc;
}

int report_markdown(struct buf *out, const Report *r)
{
    int rc = buf_printf(out, "# Evaluation\n\n");

    if (rc == OK)
        rc = stage_table(out, r);
    if (rc == OK)
        rc = samples(out, "The same prompts, stage by stage", r->samples, r->n_samples);
    if (rc == OK)
        rc = next_tokens(out, r);
    if (rc == OK)
        rc = reward_examples(out, r);
    if (rc == OK)
        rc = samples(out, "What each stage says", r->say, r->n_say);
    if (rc == OK)
        rc = samples(out, "Questions from outside the data: where every stage still fails",
            r->outside, r->n_outside);
    return rc;
}
