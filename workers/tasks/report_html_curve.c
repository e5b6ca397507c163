#include "workers/tasks/report_html_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What is drawn of each iteration, after sqrt(KL). */
enum column {
    COLUMN_ROOT_KL,
    COLUMN_ITERATION,
    COLUMN_SCORE,
    COLUMN_GOLD,
    COLUMN_LENGTH,
    COLUMN_END,
    COLUMN_REPETITION,
    COLUMNS
};

static const struct panel {
    const char *title, *x_label, *y_label;
    enum column x, y;
    int color;
    bool y_from_0;
} panels[] = {
    { "Proxy: the reward model's score", "√KL, √nats", "score", COLUMN_ROOT_KL, COLUMN_SCORE, 0,
        false },
    { "Gold: the rubric's score", "√KL, √nats", "gold score", COLUMN_ROOT_KL, COLUMN_GOLD, 2,
        false },
    { "Length", "iteration", "tokens", COLUMN_ITERATION, COLUMN_LENGTH, 1, true },
    { "Ends by itself", "iteration", "share of answers", COLUMN_ITERATION, COLUMN_END, 5, true },
    { "Repetition (4-grams)", "iteration", "share", COLUMN_ITERATION, COLUMN_REPETITION, 4, true },
};

/* Columns of n values each; the moving averages after them. */
static double *columns_of(const ReportCurve *c)
{
    size_t n = c->n_points;
    double *x = calloc(2 * COLUMNS * n + 1, sizeof *x);

    for (size_t i = 0; x && i < n; i++) {
        const CurvePoint *p = c->points[i];
        const double row[COLUMNS] = { sqrt(fmax(0, p->kl)), p->iteration, p->score, p->gold,
            p->length, p->end_rate, p->repetition };
        for (int k = 0; k < COLUMNS; k++)
            x[(size_t)k * n + i] = row[k];
    }
    for (int k = 0; x && k < COLUMNS; k++)
        for (size_t i = 0; i < n; i++)
            x[(size_t)(COLUMNS + k) * n + i] = report_average(x + (size_t)k * n, n, i);
    return x;
}

static void put_panel(struct page *p, const ReportCurve *c, const double *x, const struct panel *m)
{
    size_t n = c->n_points;
    char name[64];
    struct plot f = { .title = m->title,
        .x_label = m->x_label,
        .y_label = m->y_label,
        .series = { { "one iteration's batch", m->color, x + (size_t)m->x * n, x + (size_t)m->y * n,
                        n, false, true },
            { name, m->color, x + (size_t)(COLUMNS + m->x) * n, x + (size_t)(COLUMNS + m->y) * n, n,
                true, false } },
        .n = 2,
        .y_from_0 = m->y_from_0 };

    snprintf(name, sizeof name, "moving average of %zu iterations", report_window(n));
    if (m->y == COLUMN_GOLD && c->has_peak) {
        f.mark = report_curve_fell(c) ? "peak, then a fall" : "highest";
        f.mark_x = x[(size_t)(COLUMNS + m->x) * n + c->peak];
        f.mark_y = c->peak_gold;
    }
    page_plot(p, &f);
}

static void put_points(struct page *p, const ReportCurve *c)
{
    page_put(p, "<details>\n<summary>The numbers</summary>\n<div class=\"scroll\" tabindex=\"0\" "
                "role=\"region\" aria-label=\"The curve's numbers\">\n<table>\n<thead><tr>"
                "<th scope=\"col\">iteration</th><th scope=\"col\">KL</th><th scope=\"col\">score"
                "</th><th scope=\"col\">gold</th><th scope=\"col\">length</th><th scope=\"col\">"
                "ends</th><th scope=\"col\">repetition</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < c->n_points; i++) {
        const CurvePoint *q = c->points[i];
        page_put(p, "<tr><th scope=\"row\">%u</th><td>%.3f</td><td>%.3f</td>", q->iteration, q->kl,
            q->score);
        page_put(p, q->has_gold ? "<td>%.3f</td>" : "<td>–</td>", q->gold);
        page_put(p, "<td>%.1f</td><td>%.3f</td><td>%.3f</td></tr>\n", q->length, q->end_rate,
            q->repetition);
    }
    page_put(p, "</tbody>\n</table>\n</div>\n</details>\n");
}

void report_html_curve(struct page *p, const ReportCurve *c)
{
    double *x = columns_of(c);
    struct buf words = { 0 };

    if (!x && p->rc == OK)
        p->rc = E_NOMEM;
    if (p->rc == OK)
        p->rc = report_curve_words(&words, c);
    page_put(p, "<h2>Practice of ");
    page_text(p, c->stage);
    page_put(p, "</h2>\n<p>");
    page_text(p, words.p);
    page_put(p, "</p>\n<div class=\"cards figures\">\n");
    for (size_t i = 0; i < sizeof panels / sizeof *panels && p->rc == OK; i++)
        if (panels[i].y != COLUMN_GOLD || c->has_peak)
            put_panel(p, c, x, &panels[i]);
    page_put(p, "</div>\n");
    put_points(p, c);
    buf_free(&words);
    free(x);
}
