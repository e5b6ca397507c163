#include "workers/tasks/report.h"

#include <string.h>

#include "proto/utf8.h"

/* Text in a table cell or list: control bytes and what Markdown would read as its own, escaped. */
static int text(struct buf *o, const char *s)
{
    struct buf plain = { 0 };
    int rc = s ? utf8_escape(&plain, s, strlen(s)) : OK;

    for (size_t i = 0; i < plain.n && rc == OK; i++) {
        if (strchr("\\|`<*_[&", plain.p[i]))
            rc = buf_add(o, "\\", 1);
        if (rc == OK)
            rc = buf_add(o, plain.p + i, 1);
    }
    buf_free(&plain);
    return rc;
}

static int name(struct buf *o, const char *before, const char *stage, const char *after)
{
    int rc = buf_printf(o, "%s", before);

    if (rc == OK)
        rc = text(o, stage);
    return rc == OK ? buf_printf(o, "%s", after) : rc;
}

/* What no stage has is left out. */
static int table_line(struct buf *o, const Report *r, size_t line)
{
    struct buf row = { 0 };
    bool known = false;
    int rc = buf_printf(&row, "\n| ");

    if (rc == OK)
        rc = report_line_title(&row, r, line);
    for (size_t i = 0; i < r->n_stages && rc == OK; i++) {
        bool one = false;
        rc = buf_printf(&row, " | ");
        if (rc == OK)
            rc = report_cell(&row, &one, r->stages[i], line);
        known = known || one;
    }
    if (rc == OK)
        rc = buf_printf(&row, " |");
    if (rc == OK && known)
        rc = buf_add(o, row.p, row.n);
    buf_free(&row);
    return rc;
}

static int stage_notes(struct buf *o, const Report *r)
{
    int rc = buf_printf(o,
        "\n\n%u prompts, %u answers from each stage, temperature %g; ± is the "
        "half-width of a 95 %% interval over prompts",
        r->stages[0]->prompts, r->stages[0]->answers, r->temperature);

    if (rc == OK && r->kl_reference)
        rc = buf_printf(o,
            "; KL is measured to %s, and preferred is how often an answer beats one "
            "of it to the same prompt, a tie counting half",
            r->kl_reference);
    return rc == OK ? buf_printf(o, ".\n") : rc;
}

static int stage_table(struct buf *o, const Report *r)
{
    int rc = buf_printf(o, "| on held-out prompts |");

    for (size_t i = 0; i < r->n_stages && rc == OK; i++)
        rc = name(o, " ", r->stages[i]->name, " |");
    if (rc == OK)
        rc = buf_printf(o, "\n|---|");
    for (size_t i = 0; i < r->n_stages && rc == OK; i++)
        rc = buf_printf(o, "---|");
    for (size_t k = 0; k < report_lines() && rc == OK; k++)
        rc = table_line(o, r, k);
    return rc == OK && r->n_stages ? stage_notes(o, r) : rc;
}

/* ---- practice ---- */

/* A column's course in one line, from its least to its most. */
static int sparkline(struct buf *o, const ReportCurve *c, double (*of)(const CurvePoint *))
{
    static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    enum { SHOWN = 40, BLOCKS = sizeof blocks / sizeof *blocks };
    size_t n = c->n_points, shown = n < SHOWN ? n : SHOWN;
    double low = of(c->points[0]), high = low;
    int rc = OK;

    for (size_t i = 0; i < n; i++) {
        low = of(c->points[i]) < low ? of(c->points[i]) : low;
        high = of(c->points[i]) > high ? of(c->points[i]) : high;
    }
    for (size_t i = 0; i < shown && rc == OK; i++) {
        double x = of(c->points[i * n / shown]);
        int height = high > low ? (int)((x - low) / (high - low) * (BLOCKS - 1) + .5) : 0;
        rc = buf_printf(o, "%s", blocks[height]);
    }
    if (rc == OK)
        rc = buf_printf(o, " | %.2f | %.2f | %.2f | %.2f |\n", of(c->points[0]), low, high,
            of(c->points[n - 1]));
    return rc;
}

static double of_score(const CurvePoint *p)
{
    return p->score;
}
static double of_gold(const CurvePoint *p)
{
    return p->gold;
}
static double of_kl(const CurvePoint *p)
{
    return p->kl;
}
static double of_length(const CurvePoint *p)
{
    return p->length;
}
static double of_end(const CurvePoint *p)
{
    return p->end_rate;
}
static double of_repetition(const CurvePoint *p)
{
    return p->repetition;
}

static const struct {
    const char *title;
    double (*of)(const CurvePoint *p);
    bool gold; /* only where there is a peak */
} courses[] = {
    { "KL, nats", of_kl, false },
    { "proxy: the reward model's score", of_score, false },
    { "gold score", of_gold, true },
    { "length, tokens", of_length, false },
    { "ends by itself", of_end, false },
    { "repetition", of_repetition, false },
};

static int curve(struct buf *o, const ReportCurve *c)
{
    int rc = name(o, "\n## Practice of ", c->stage, "\n\n");

    if (rc == OK)
        rc = report_curve_words(o, c);
    if (rc == OK)
        rc = buf_printf(
            o, "\n\n| by iteration | | first | least | most | last |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof courses / sizeof *courses && rc == OK && c->n_points; i++) {
        if (courses[i].gold && !c->has_peak)
            continue;
        rc = buf_printf(o, "| %s | ", courses[i].title);
        if (rc == OK)
            rc = sparkline(o, c, courses[i].of);
    }
    return rc;
}

static int interval(struct buf *o, const Interval *i)
{
    return i ? buf_printf(o, " %.3f ± %.3f |", i->mean, i->ci95) : buf_printf(o, " – |");
}

static int best_of(struct buf *o, const Report *r)
{
    bool any = false;
    int rc = OK;

    for (size_t i = 0; i < r->n_stages && rc == OK; i++) {
        for (size_t k = 0; k < r->stages[i]->n_best_of && rc == OK; k++) {
            const ReportBestOf *b = r->stages[i]->best_of[k];
            if (!any)
                rc = buf_printf(o, "\n## Best of n, picked by the reward model\n\n"
                                   "| stage | n | KL = log n − (n − 1)/n | reward | gold |\n"
                                   "|---|---|---|---|---|\n");
            any = true;
            if (rc == OK)
                rc = name(o, "| ", r->stages[i]->name, " |");
            if (rc == OK)
                rc = buf_printf(o, " %u | %.3f |", b->n, b->kl);
            if (rc == OK)
                rc = interval(o, b->reward);
            if (rc == OK)
                rc = interval(o, b->gold);
            if (rc == OK)
                rc = buf_printf(o, "\n");
        }
    }
    return rc;
}

static int answer_line(struct buf *o, const ReportAnswer *a)
{
    int rc = a->stage ? name(o, "- ", a->stage, ": ") : buf_printf(o, "- ");

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
    struct buf name = { 0 };
    int rc = report_token(&name, t);

    if (rc == OK)
        rc = text(o, name.p);
    buf_free(&name);
    return rc;
}

static int next_tokens(struct buf *o, const Report *r)
{
    int rc = r->n_next_tokens ? buf_printf(o, "\n## What may come next\n") : OK;

    for (size_t i = 0; i < r->n_next_tokens && rc == OK; i++) {
        const ReportNextToken *t = r->next_tokens[i];
        rc = name(o, "\n", t->stage, ", after **");
        if (rc == OK)
            rc = text(o, t->text);
        if (rc == OK)
            rc = buf_printf(o, "**: ");
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

/* ---- the reward model ---- */

static int accuracies(struct buf *o, const char *title, AccuracyBin *const *b, size_t n)
{
    int rc = n ? buf_printf(o, "\n| %s | pairs | accuracy |\n|---|---|---|\n", title) : OK;

    for (size_t i = 0; i < n && rc == OK; i++) {
        if (!b[i]->accuracy)
            continue;
        rc = buf_printf(o, "| ");
        if (rc == OK)
            rc = report_bounds(o, b[i]);
        if (rc == OK)
            rc = buf_printf(o, " | %u | ", b[i]->pairs);
        if (rc == OK)
            rc = report_share(o, b[i]->accuracy);
        if (rc == OK)
            rc = buf_printf(o, " |\n");
    }
    return rc;
}

static int reward_model(struct buf *o, const RewardReport *m)
{
    struct buf words = { 0 };
    int rc = m && m->accuracy ? report_reward_words(&words, m) : OK;

    if (rc == OK && words.n)
        rc = buf_printf(o, "\n## The reward model\n\n%s\n", words.p);
    if (rc == OK && words.n)
        rc = accuracies(o, "ranked answers to the prompt", m->by_answers, m->n_by_answers);
    if (rc == OK && words.n)
        rc = accuracies(
            o, "tokens of the better answer less the worse one's", m->by_length, m->n_by_length);
    if (rc == OK && words.n && m->n_calibration)
        rc = buf_printf(o, "\n| predicted chance that the higher score is better | pairs | "
                           "predicted | observed |\n|---|---|---|---|\n");
    for (size_t i = 0; words.n && i < m->n_calibration && rc == OK; i++)
        rc = buf_printf(o, "| %.2f to %.2f | %u | %.3f | %.3f |\n", m->calibration[i]->least,
            m->calibration[i]->most, m->calibration[i]->pairs, m->calibration[i]->predicted,
            m->calibration[i]->observed);
    buf_free(&words);
    return rc;
}

static int reward_examples(struct buf *o, const Report *r)
{
    int rc = r->n_reward_examples ? buf_printf(o, "\n## What the reward model says\n") : OK;

    for (size_t i = 0; i < r->n_reward_examples && rc == OK; i++) {
        const ReportScores *s = r->reward_examples[i];
        rc = buf_printf(o, "\n**");
        if (rc == OK)
            rc = text(o, s->prompt);
        if (rc == OK)
            rc = buf_printf(o, "**\n\n");
        for (size_t k = 0; k < s->n_answers && rc == OK; k++)
            rc = answer_line(o, s->answers[k]);
    }
    return rc;
}

static int limits(struct buf *o, const Report *r)
{
    int rc = buf_printf(o, "\n## What this does not show\n\n");
    const char *sentence;

    for (size_t i = 0; rc == OK && (sentence = report_limit(r, i)); i++)
        rc = buf_printf(o, "- %s\n", sentence);
    return rc;
}

int report_markdown(struct buf *out, const Report *r)
{
    int rc = buf_printf(out, "# Evaluation\n\n");

    if (rc == OK)
        rc = stage_table(out, r);
    for (size_t i = 0; i < r->n_curves && rc == OK; i++)
        rc = curve(out, r->curves[i]);
    if (rc == OK)
        rc = best_of(out, r);
    if (rc == OK)
        rc = samples(out, "The same prompts, stage by stage", r->samples, r->n_samples);
    if (rc == OK)
        rc = next_tokens(out, r);
    if (rc == OK)
        rc = reward_model(out, r->reward_model);
    if (rc == OK)
        rc = reward_examples(out, r);
    if (rc == OK)
        rc = samples(out, "What each stage says", r->say, r->n_say);
    if (rc == OK)
        rc = samples(out, "Questions from outside the data: where every stage still fails",
            r->outside, r->n_outside);
    return rc == OK ? limits(out, r) : rc;
}
