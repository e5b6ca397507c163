#include "workers/tasks/report.h"

#include <math.h>
#include <stdlib.h>

size_t report_window(size_t points)
{
    return points < 30 ? 3 : points / 10 | 1;
}

double report_average(const double *x, size_t n, size_t at)
{
    size_t half = report_window(n) / 2, from = at > half ? at - half : 0;
    size_t to = at + half + 1 < n ? at + half + 1 : n;
    double sum = 0;

    for (size_t i = from; i < to; i++)
        sum += x[i];
    return sum / (double)(to - from);
}

int report_curve_peak(ReportCurve *c, struct err *e)
{
    double *gold = calloc(c->n_points + 1, sizeof *gold);
    double squares = 0;
    bool known = c->n_points > 0;

    if (!gold)
        return err_set(e, E_NOMEM, "no memory for a curve");
    for (size_t i = 0; i < c->n_points; i++) {
        known = known && c->points[i]->has_gold;
        gold[i] = c->points[i]->gold;
    }
    for (size_t i = 0; i < c->n_points && known; i++) {
        double g = report_average(gold, c->n_points, i);
        squares += (gold[i] - g) * (gold[i] - g);
        if (i == 0)
            c->first_gold = c->peak_gold = g;
        if (g > c->peak_gold) {
            c->peak_gold = g;
            c->peak = (uint32_t)i;
        }
        c->last_gold = g;
    }
    c->has_window = c->has_peak = c->has_peak_gold = c->has_first_gold = c->has_last_gold = known;
    c->window = known ? (uint32_t)report_window(c->n_points) : 0;
    c->has_noise = known; /* a point's own share of its average is 1/window */
    c->noise = known ? sqrt(squares / (double)c->n_points / (c->window - 1)) : 0;
    free(gold);
    return OK;
}

/* The peak is the highest of many averages: three standard errors of the difference. */
bool report_curve_fell(const ReportCurve *c)
{
    return c->has_peak && c->peak_gold - c->last_gold > 3 * sqrt(2) * c->noise;
}

int report_curve_words(struct buf *out, const ReportCurve *c)
{
    const CurvePoint *first = c->n_points ? c->points[0] : NULL,
                     *last = c->n_points ? c->points[c->n_points - 1] : NULL;
    int rc = first ? buf_printf(out,
                         "%zu iterations: the reward model's score, which practice raises (the "
                         "proxy), went from %.2f to %.2f, KL to %.2f nats.",
                         c->n_points, first->score, last->score, last->kl)
                   : buf_printf(out, "No iteration.");

    if (rc != OK || !c->has_peak)
        return rc;
    rc = buf_printf(out,
        " The gold score (averages of %u iterations) went from %.3f to its peak of %.3f in "
        "iteration %u, at √KL %.2f",
        c->window, c->first_gold, c->peak_gold, c->points[c->peak]->iteration,
        sqrt(fmax(0, c->points[c->peak]->kl)));
    if (rc != OK)
        return rc;
    if (!report_curve_fell(c))
        return buf_printf(out,
            ", and was %.3f at the end: no fall that the scatter of the points "
            "(standard error %.3f) does not explain.",
            c->last_gold, c->noise);
    return buf_printf(out,
        ", and fell to %.3f. What practice gained after the peak, the proxy alone saw: "
        "over-optimisation (Gao et al. 2022).",
        c->last_gold);
}
