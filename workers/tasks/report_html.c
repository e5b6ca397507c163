#include "workers/tasks/report_html_int.h"

/* Colours are Okabe and Ito's, told apart by people who see colours differently; a word or a shape
 * always says the same. */
static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n<title>Evaluation</title>\n<style>\n"
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1b1b1b;--soft:#5a5a5a;--rule:#d4d4d4;"
    "--card:#f6f6f4}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#16181a;--ink:#e9e9e6;--soft:#a9a9a4;"
    "--rule:#3b3e41;--card:#202326}}\n"
    "body{margin:0 auto;padding:1rem;max-width:64rem;background:var(--paper);color:var(--ink);"
    "font:1rem/1.5 system-ui,-apple-system,'Segoe UI','Noto Sans','Noto Sans CJK SC',"
    "'PingFang SC','Microsoft YaHei',sans-serif}\n"
    "h1,h2{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid var(--rule)}\n"
    "p,li{max-width:46rem}.soft,figcaption{color:var(--soft);font-size:.875rem}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "caption{text-align:left;font-weight:600;padding:.25rem 0}\n"
    "th,td{padding:.3rem .7rem;border-bottom:1px solid var(--rule);text-align:right;"
    "white-space:nowrap;vertical-align:top}\n"
    "th:first-child,td:first-child{text-align:left;white-space:normal;min-width:9rem}\n"
    ".cards{display:grid;gap:.75rem;grid-template-columns:repeat(auto-fit,minmax(min(15rem,100%),"
    "1fr))}\n"
    ".figures{grid-template-columns:repeat(auto-fit,minmax(min(22rem,100%),1fr))}\n"
    ".card{background:var(--card);border:1px solid var(--rule);border-radius:.4rem;"
    "padding:.6rem .8rem;min-width:0}\n"
    ".card table{width:100%}.card td,.card th{padding:.15rem .3rem}\n"
    ".card td:first-child,.card th:first-child{min-width:0}\n"
    ".who{font-weight:600;font-size:.875rem}.ask{margin:1.5rem 0 .5rem;font-weight:600}\n"
    ".say{margin:.2rem 0;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext}\n"
    ".bar{display:block;height:.5rem;min-width:1px;background:#0072B2;border-radius:1px}\n"
    "figure{margin:0;min-width:0}svg{width:100%;height:auto;max-width:36rem}\n"
    "svg text{fill:var(--ink);font-size:12px}.grid{stroke:var(--rule);fill:none}\n"
    ".axis{stroke:var(--soft);fill:none}.line{fill:none;stroke-width:2.5}\n"
    ".mark{stroke:var(--soft);stroke-dasharray:4 4;fill:none}.peak{fill:#D55E00}\n"
    "circle{opacity:.5}@media(prefers-color-scheme:dark){circle{opacity:.8}}"
    ".line.c0{stroke:#0072B2}circle.c0{fill:#0072B2}.k0{color:#0072B2}"
    ".line.c1{stroke:#E69F00}circle.c1{fill:#E69F00}.k1{color:#E69F00}"
    ".line.c2{stroke:#009E73}circle.c2{fill:#009E73}.k2{color:#009E73}"
    ".line.c3{stroke:#D55E00}circle.c3{fill:#D55E00}.k3{color:#D55E00}"
    ".line.c4{stroke:#CC79A7}circle.c4{fill:#CC79A7}.k4{color:#CC79A7}"
    ".line.c5{stroke:#56B4E9}circle.c5{fill:#56B4E9}.k5{color:#56B4E9}\n"
    "@media(max-width:34rem){th,td{padding:.25rem .35rem;font-size:.875rem}"
    "th:first-child,td:first-child{min-width:6.5rem}}\n"
    "summary{cursor:pointer}@media print{details>*{display:block}}\n"
    "</style>\n</head>\n<body>\n<main>\n<h1>Evaluation</h1>\n";

/* A text in an element of the class, with its language. */
static void put_text(struct page *p, const char *class, const char *text, const char *lang)
{
    page_put(p, "<p class=\"%s\" lang=\"", class);
    page_text(p, lang && *lang ? lang : page_lang(text));
    page_put(p, "\">");
    page_text(p, text);
    page_put(p, "</p>\n");
}

static void table_begin(struct page *p, const char *label)
{
    page_put(p, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"");
    page_text(p, label);
    page_put(p, "\">\n<table>\n<caption>");
    page_text(p, label);
    page_put(p, "</caption>\n");
}

static void table_end(struct page *p)
{
    page_put(p, "</tbody>\n</table>\n</div>\n");
}

/* One row of column heads, and the body begins. */
static void table_head(struct page *p, const char *const *heads, size_t n)
{
    page_put(p, "<thead><tr>");
    for (size_t i = 0; i < n; i++)
        page_put(p, "<th scope=\"col\">%s</th>", heads[i]);
    page_put(p, "</tr></thead>\n<tbody>\n");
}

/* ---- stages ---- */

/* What no stage has is left out. */
static void stage_line(struct page *p, const Report *r, size_t line)
{
    struct buf row = { 0 };
    struct page cells = { &row, OK };
    bool known = false;

    for (size_t i = 0; i < r->n_stages && cells.rc == OK; i++) {
        bool one = false;
        page_put(&cells, "<td>");
        if (cells.rc == OK)
            cells.rc = report_cell(&row, &one, r->stages[i], line);
        page_put(&cells, "</td>");
        known = known || one;
    }
    if (p->rc == OK)
        p->rc = cells.rc;
    if (known) {
        struct buf title = { 0 };
        if (p->rc == OK)
            p->rc = report_line_title(&title, r, line);
        page_put(p, "<tr><th scope=\"row\">");
        page_text(p, title.p);
        page_put(p, "</th>%s</tr>\n", row.p);
        buf_free(&title);
    }
    buf_free(&row);
}

static void put_stages(struct page *p, const Report *r)
{
    if (r->n_stages == 0)
        return;
    page_put(p, "<p>%u held-out prompts, %u answers from each stage, ", r->stages[0]->prompts,
        r->stages[0]->answers);
    if (r->temperature > 0)
        page_put(p, "sampled at temperature %g.", r->temperature);
    else
        page_put(p, "the likeliest token each time (temperature 0).");
    page_put(p, " ± is the half-width of a 95 %% interval over prompts.");
    if (r->kl_reference) {
        page_put(p, " KL is measured to ");
        page_text(p, r->kl_reference);
        page_put(p, "; preferred: how often an answer beats one of it to the same prompt, a tie "
                    "counting half.");
    }
    page_put(p, "</p>\n");
    table_begin(p, "The stages on held-out prompts");
    page_put(p, "<thead><tr><th scope=\"col\"></th>");
    for (size_t i = 0; i < r->n_stages; i++) {
        page_put(p, "<th scope=\"col\">");
        page_text(p, r->stages[i]->name);
        page_put(p, "</th>");
    }
    page_put(p, "</tr></thead>\n<tbody>\n");
    for (size_t line = 0; line < report_lines(); line++)
        stage_line(p, r, line);
    table_end(p);
}

static void put_interval(struct page *p, const Interval *i)
{
    if (i)
        page_put(p, "<td>%.3f ± %.3f</td>", i->mean, i->ci95);
    else
        page_put(p, "<td>–</td>");
}

static void put_best_of(struct page *p, const Report *r)
{
    static const char *const heads[] = { "stage", "n", "KL, nats", "reward", "gold" };
    bool any = false;

    for (size_t i = 0; i < r->n_stages; i++)
        any = any || r->stages[i]->n_best_of;
    if (!any)
        return;
    page_put(p, "<h2>Best of n</h2>\n<p>The reward model picks one of n answers to each prompt. KL "
                "to the stage itself is log n − (n − 1)/n.</p>\n");
    table_begin(p, "The picked answers");
    table_head(p, heads, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < r->n_stages; i++) {
        for (size_t k = 0; k < r->stages[i]->n_best_of; k++) {
            const ReportBestOf *b = r->stages[i]->best_of[k];
            page_put(p, "<tr><th scope=\"row\">");
            page_text(p, r->stages[i]->name);
            page_put(p, "</th><td>%u</td><td>%.3f</td>", b->n, b->kl);
            put_interval(p, b->reward);
            put_interval(p, b->gold);
            page_put(p, "</tr>\n");
        }
    }
    table_end(p);
}

/* ---- what the stages say ---- */

static void put_answer(struct page *p, const ReportAnswer *a)
{
    page_put(p, "<div class=\"card\">");
    if (a->stage) {
        page_put(p, "<div class=\"who\">");
        page_text(p, a->stage);
        page_put(p, "</div>");
    }
    put_text(p, "say", a->text, NULL);
    page_put(p, "<div class=\"soft\">");
    if (a->has_ended)
        page_put(p, a->ended ? "ended by itself" : "cut at the limit …");
    if (a->has_gold)
        page_put(p, "%sgold %.2f", a->has_ended ? " · " : "", a->gold);
    if (a->has_reward)
        page_put(p, "%sreward %.2f", a->has_ended || a->has_gold ? " · " : "", a->reward);
    page_put(p, "</div></div>\n");
}

static void put_samples(struct page *p, const char *title, ReportSample *const *s, size_t n)
{
    if (n == 0)
        return;
    page_put(p, "<h2>%s</h2>\n", title);
    for (size_t i = 0; i < n; i++) {
        page_put(p, "<section>\n");
        put_text(p, "ask", s[i]->prompt, s[i]->lang);
        if (s[i]->n_accepted) {
            page_put(p, "<p class=\"soft\" lang=\"");
            page_text(p, page_lang(s[i]->accepted[0]));
            page_put(p, "\">✓ ");
            page_text(p, s[i]->accepted[0]);
            page_put(p, "</p>\n");
        }
        page_put(p, "<div class=\"cards\">\n");
        for (size_t k = 0; k < s[i]->n_answers; k++)
            put_answer(p, s[i]->answers[k]);
        page_put(p, "</div>\n</section>\n");
    }
}

static void put_token_row(struct page *p, const TokenProbability *t)
{
    struct buf token = { 0 };

    if (p->rc == OK)
        p->rc = report_token(&token, &t->token);
    page_put(p, "<tr><td lang=\"");
    page_text(p, token.p ? page_lang(token.p) : "");
    page_put(p, "\">");
    page_text(p, token.p);
    page_put(p,
        "</td><td>%.1f %%</td><td><span class=\"bar\" style=\"width:%.1fem\"></span></td>"
        "</tr>\n",
        100 * t->probability, 6 * t->probability);
    buf_free(&token);
}

static void put_next_tokens(struct page *p, const Report *r)
{
    if (r->n_next_tokens == 0)
        return;
    page_put(p, "<h2>What may come next</h2>\n<p>The likeliest next tokens after a bare text.</p>\n"
                "<div class=\"cards\">\n");
    for (size_t i = 0; i < r->n_next_tokens; i++) {
        const ReportNextToken *t = r->next_tokens[i];
        page_put(p, "<div class=\"card\"><table>\n<caption>");
        page_text(p, t->stage);
        page_put(p, ", after <span lang=\"%s\">“", page_lang(t->text));
        page_text(p, t->text);
        page_put(p, "”</span></caption>\n<thead><tr><th scope=\"col\">token</th><th scope=\"col\">"
                    "probability</th><td></td></tr></thead>\n<tbody>\n");
        for (size_t k = 0; k < t->n_next; k++)
            put_token_row(p, t->next[k]);
        page_put(p, "</tbody></table></div>\n");
    }
    page_put(p, "</div>\n");
}

/* ---- the reward model ---- */

static void put_accuracy(
    struct page *p, const char *title, const char *unit, AccuracyBin *const *bins, size_t n)
{
    const char *const heads[] = { unit, "pairs", "accuracy" };

    if (n == 0)
        return;
    table_begin(p, title);
    table_head(p, heads, 3);
    for (size_t i = 0; i < n; i++) {
        struct buf bounds = { 0 }, share = { 0 };
        if (!bins[i]->accuracy)
            continue;
        if (p->rc == OK)
            p->rc = report_bounds(&bounds, bins[i]);
        if (p->rc == OK)
            p->rc = report_share(&share, bins[i]->accuracy);
        page_put(p, "<tr><th scope=\"row\">%s</th><td>%u</td><td>%s</td></tr>\n",
            bounds.p ? bounds.p : "", bins[i]->pairs, share.p ? share.p : "");
        buf_free(&share);
        buf_free(&bounds);
    }
    table_end(p);
}

static void put_calibration(struct page *p, const RewardReport *m)
{
    enum { BINS = 32 };
    static const char *const heads[] = { "probability", "pairs", "predicted", "observed" };
    double x[BINS], y[BINS];
    size_t n = m->n_calibration < BINS ? m->n_calibration : BINS;
    struct plot f = { .title = "Calibration of the reward model",
        .x_label = "predicted chance that the higher score is better",
        .y_label = "observed share",
        .series = { { "pairs in bins; the dashed line is perfect", 0, x, y, n, true, true } },
        .n = 1,
        .unit = true };

    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        x[i] = m->calibration[i]->predicted;
        y[i] = m->calibration[i]->observed;
    }
    page_put(p, "<div class=\"cards figures\">\n");
    page_plot(p, &f);
    page_put(p, "<div>\n");
    table_begin(p, "Calibration");
    table_head(p, heads, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < n; i++)
        page_put(p,
            "<tr><th scope=\"row\">%.2f to %.2f</th><td>%u</td><td>%.3f</td><td>%.3f</td>"
            "</tr>\n",
            m->calibration[i]->least, m->calibration[i]->most, m->calibration[i]->pairs, x[i],
            y[i]);
    table_end(p);
    page_put(p, "</div>\n</div>\n");
}

static void put_reward_model(struct page *p, const Report *r)
{
    const RewardReport *m = r->reward_model;
    struct buf words = { 0 };

    if (!m || !m->accuracy)
        return;
    if (p->rc == OK)
        p->rc = report_reward_words(&words, m);
    page_put(p, "<h2>The reward model</h2>\n<p>");
    page_text(p, words.p);
    page_put(p, "</p>\n<div class=\"cards\">\n");
    buf_free(&words);
    put_accuracy(p, "Accuracy by the number of answers", "ranked answers to the prompt",
        m->by_answers, m->n_by_answers);
    put_accuracy(p, "Accuracy by length", "tokens of the better answer less the worse one's",
        m->by_length, m->n_by_length);
    page_put(p, "</div>\n");
    put_calibration(p, m);
}

static void put_reward_examples(struct page *p, const Report *r)
{
    if (r->n_reward_examples == 0)
        return;
    page_put(p, "<h2>What the reward model says</h2>\n");
    for (size_t i = 0; i < r->n_reward_examples; i++) {
        const ReportScores *s = r->reward_examples[i];
        page_put(p, "<section>\n");
        put_text(p, "ask", s->prompt, NULL);
        page_put(p, "<div class=\"cards\">\n");
        for (size_t k = 0; k < s->n_answers; k++)
            put_answer(p, s->answers[k]);
        page_put(p, "</div>\n</section>\n");
    }
}

/* ---- the page ---- */

static void put_limits(struct page *p, const Report *r)
{
    const char *sentence;

    page_put(p, "<h2>What this does not show</h2>\n<ul>\n");
    for (size_t i = 0; (sentence = report_limit(r, i)); i++)
        page_put(p, "<li>%s</li>\n", sentence);
    page_put(p, "</ul>\n");
}

int report_html(struct buf *out, const Report *r)
{
    struct page p = { out, OK };

    page_put(&p, "%s", head);
    put_stages(&p, r);
    for (size_t i = 0; i < r->n_curves; i++)
        report_html_curve(&p, r->curves[i]);
    put_best_of(&p, r);
    put_samples(&p, "The same prompts, stage by stage", r->samples, r->n_samples);
    put_next_tokens(&p, r);
    put_reward_model(&p, r);
    put_reward_examples(&p, r);
    put_samples(&p, "What each stage says", r->say, r->n_say);
    put_samples(&p, "Questions from outside the data: where every stage still fails", r->outside,
        r->n_outside);
    put_limits(&p, r);
    page_put(&p, "</main>\n</body>\n</html>\n");
    return p.rc;
}
