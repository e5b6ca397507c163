#include "workers/tasks/report.h"

#include <math.h>

#include "proto/utf8.h"

/* ---- one line for each thing that is told of a stage ---- */

static int share(struct buf *o, bool *known, bool has, double x, double ci95)
{
    *known = has;
    return !has       ? buf_printf(o, "–")
           : ci95 > 0 ? buf_printf(o, "%.1f %% ± %.1f", 100 * x, 100 * ci95)
                      : buf_printf(o, "%.1f %%", 100 * x);
}

static int number(struct buf *o, bool *known, bool has, double x, double ci95, int digits)
{
    *known = has;
    return !has       ? buf_printf(o, "–")
           : ci95 > 0 ? buf_printf(o, "%.*f ± %.*f", digits, x, digits, ci95)
                      : buf_printf(o, "%.*f", digits, x);
}

static int cell_right(struct buf *o, bool *known, const ReportStage *s)
{
    return share(o, known, s->has_right_answers, s->right_answers, s->right_answers_ci95);
}
static int cell_answers(struct buf *o, bool *known, const ReportStage *s)
{
    return share(o, known, s->has_answers_at_all, s->answers_at_all, s->answers_at_all_ci95);
}
static int cell_gold(struct buf *o, bool *known, const ReportStage *s)
{
    return number(o, known, s->gold, s->gold ? s->gold->mean : 0, s->gold ? s->gold->ci95 : 0, 3);
}
static int cell_reward(struct buf *o, bool *known, const ReportStage *s)
{
    return number(o, known, s->has_reward, s->reward, s->reward_ci95, 2);
}
static int cell_preferred(struct buf *o, bool *known, const Interval *i)
{
    return share(o, known, i, i ? i->mean : 0, i ? i->ci95 : 0);
}
static int cell_preferred_by_gold(struct buf *o, bool *known, const ReportStage *s)
{
    return cell_preferred(o, known, s->preferred_by_gold);
}
static int cell_preferred_by_reward(struct buf *o, bool *known, const ReportStage *s)
{
    return cell_preferred(o, known, s->preferred_by_reward);
}
static int cell_kl(struct buf *o, bool *known, const ReportStage *s)
{
    return number(o, known, s->has_kl, s->kl, s->kl_ci95, 2);
}
static int cell_length(struct buf *o, bool *known, const ReportStage *s)
{
    return number(o, known, s->has_length, s->length, s->length_ci95, 1);
}
static int cell_end(struct buf *o, bool *known, const ReportStage *s)
{
    return share(o, known, s->has_end_rate, s->end_rate, s->end_rate_ci95);
}
static int cell_repetition(struct buf *o, bool *known, const ReportStage *s)
{
    return share(o, known, s->has_repetition_rate, s->repetition_rate, s->repetition_rate_ci95);
}
static int cell_bits(struct buf *o, bool *known, const ReportStage *s)
{
    return number(o, known, s->has_bits_per_byte, s->bits_per_byte, 0, 3);
}

static const struct {
    const char *title, *after; /* after: the reference's name stands between them */
    int (*cell)(struct buf *o, bool *known, const ReportStage *s);
} lines[] = {
    { "right answers", NULL, cell_right },
    { "answers at all, instead of asking back", NULL, cell_answers },
    { "gold score (rubric)", NULL, cell_gold },
    { "preferred to ", ", by gold score", cell_preferred_by_gold },
    { "reward model's score", NULL, cell_reward },
    { "preferred to ", ", by the reward model", cell_preferred_by_reward },
    { "KL, nats for each answer", NULL, cell_kl },
    { "length, tokens", NULL, cell_length },
    { "ends by itself", NULL, cell_end },
    { "repetition (4-grams)", NULL, cell_repetition },
    { "bits per byte of held-out text", NULL, cell_bits },
};

size_t report_lines(void)
{
    return sizeof lines / sizeof *lines;
}

int report_line_title(struct buf *out, const Report *r, size_t line)
{
    const char *reference = r->kl_reference ? r->kl_reference : "the reference";

    return lines[line].after
               ? buf_printf(out, "%s%s%s", lines[line].title, reference, lines[line].after)
               : buf_printf(out, "%s", lines[line].title);
}

int report_cell(struct buf *out, bool *known, const ReportStage *s, size_t line)
{
    return lines[line].cell(out, known, s);
}

/* ---- what is not shown ---- */

static bool always(const Report *r)
{
    (void)r;
    return true;
}
static bool has_gold(const Report *r)
{
    return r->n_stages > 0 && r->stages[0]->gold;
}
static bool lacks_gold(const Report *r)
{
    return !has_gold(r);
}
static bool few_prompts(const Report *r)
{
    return r->n_stages > 0 && r->stages[0]->prompts < 100;
}
static bool greedy(const Report *r)
{
    return r->has_temperature && r->temperature == 0;
}
static bool sampled(const Report *r)
{
    return r->has_temperature && r->temperature > 0;
}
static bool has_reward(const Report *r)
{
    return r->n_stages > 0 && r->stages[0]->has_reward;
}
static bool lacks_outside(const Report *r)
{
    return r->n_outside == 0;
}
static bool has_curves(const Report *r)
{
    return r->n_curves > 0;
}

static const struct {
    bool (*holds)(const Report *r);
    const char *sentence;
} limits[] = {
    { always,
        "What another seed would give: there is one model for each stage. The intervals cover "
        "the choice of prompts and answers, not the chance in training." },
    { few_prompts,
        "Small differences: there are fewer than 100 prompts, so look at the intervals." },
    { has_gold,
        "What people would say: the gold score is a rubric's, and a rubric sees what it was "
        "told to look at." },
    { lacks_gold, "Whether the answers are good: nobody but the reward model judged them, and its "
                  "score can rise while answers get worse." },
    { has_reward, "Whether the reward model is right: practice looks for its mistakes, so a high "
                  "score counts only together with another judge." },
    { greedy,
        "Variety: the likeliest token was taken each time (temperature 0), so every answer to "
        "a prompt is the same one." },
    { sampled, "The best that a stage can do: its answers were sampled; taking the likeliest token "
               "each time (temperature: 0) gives others." },
    { has_curves,
        "Held-out prompts along the way: the curves are of the prompts that were practised "
        "on." },
    { lacks_outside,
        "Questions from outside the data: none were put (outside of evaluate names some)." },
    { always, "Facts, safety, fairness, long conversations: nothing here measures them." },
};

const char *report_limit(const Report *r, size_t i)
{
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++)
        if (limits[k].holds(r) && i-- == 0)
            return limits[k].sentence;
    return NULL;
}

int report_token(struct buf *out, const ProtobufCBinaryData *t)
{
    bool whole = utf8_valid(t->data, t->len);
    int rc = buf_printf(out, whole ? "“" : "⟨");

    if (rc == OK && whole)
        rc = utf8_escape(out, t->data, t->len);
    for (size_t i = 0; i < t->len && rc == OK && !whole; i++)
        rc = buf_printf(out, "%s%02X", i ? " " : "", t->data[i]);
    return rc == OK ? buf_printf(out, whole ? "”" : "⟩") : rc;
}

/* ---- the reward model ---- */

int report_bounds(struct buf *out, const AccuracyBin *b)
{
    if (!b->has_least)
        return buf_printf(out, "up to %d", b->most);
    if (!b->has_most)
        return buf_printf(out, "%d and more", b->least);
    return b->least == b->most ? buf_printf(out, "%d", b->least)
                               : buf_printf(out, "%d to %d", b->least, b->most);
}

/* How near accuracy is to the ceiling, chance being 1/2: 0 … 1. */
static double reach(const RewardReport *r)
{
    return fmax(0, fmin(1, (r->accuracy->mean - .5) / (r->ceiling->mean - .5)));
}

int report_share(struct buf *out, const Interval *i)
{
    bool known;

    return share(out, &known, true, i->mean, i->ci95);
}

static int ceiling_words(struct buf *out, const RewardReport *r)
{
    int rc;

    if (r->ceiling->mean >= 1)
        rc = buf_printf(out,
            " The rubric that made these rankings made no slip in them: the ceiling "
            "is 100 %%.");
    else
        rc = buf_printf(
            out, " The rankings hold slips: the rubric that made them agrees itself with ");
    if (rc == OK && r->ceiling->mean < 1)
        rc = report_share(out, r->ceiling);
    if (rc == OK && r->ceiling->mean < 1)
        rc = buf_printf(out, " of these pairs, the ceiling.");
    if (rc == OK && r->ceiling->mean > .5)
        rc = buf_printf(out, " The reward model has come %.0f %% of the way from chance to there.",
            100 * reach(r));
    return rc;
}

int report_reward_words(struct buf *out, const RewardReport *r)
{
    int rc = buf_printf(out,
        "On %u pairs of answers to %u held-out prompts the better answer scores higher in ",
        r->pairs, r->prompts);

    if (rc == OK)
        rc = report_share(out, r->accuracy);
    if (rc == OK)
        rc = buf_printf(out, " (chance: 50 %%; 95 %% interval over prompts).");
    if (rc == OK && r->ceiling)
        rc = ceiling_words(out, r);
    return rc == OK
               ? buf_printf(out,
                     " Expected calibration error %.3f; correlation of score with length among "
                     "the answers to one prompt %+.2f.",
                     r->calibration_error, r->length_bias)
               : rc;
}
