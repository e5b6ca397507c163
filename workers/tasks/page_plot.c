#include "workers/tasks/page.h"

#include <math.h>

/* The picture's units; the page scales it to the room there is. */
enum { WIDTH = 460, HEIGHT = 260, LEFT = 58, RIGHT = 14, TOP = 14, BOTTOM = 46, TICKS = 5 };

struct axis {
    double low, high, step;
    int digits; /* after the point, so that ticks differ */
};

/* Whole steps of 1, 2 or 5 times a power of ten around what there is. Without log10 and pow, whose
 * last bit depends on the C library. */
static struct axis axis_for(double low, double high)
{
    struct axis a = { 0 };
    double room = high - low > 1e-9 ? high - low : fmax(fabs(high), 1) * .1, power = 1;

    while (power * 10 <= room / TICKS)
        power *= 10;
    for (; power > room / TICKS; a.digits++)
        power /= 10;
    double rest = room / TICKS / power;
    a.step = power * (rest > 5 ? 10 : rest > 2 ? 5 : rest > 1 ? 2 : 1);
    a.digits -= a.digits > 0 && rest > 5;
    a.low = floor(low / a.step + 1e-9) * a.step;
    a.high = ceil(high / a.step - 1e-9) * a.step;
    if (a.high - a.low < a.step)
        a.high = a.low + a.step;
    return a;
}

struct view {
    struct axis x, y;
};

static double at_x(const struct view *v, double x)
{
    return LEFT + (x - v->x.low) / (v->x.high - v->x.low) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct view *v, double y)
{
    return HEIGHT - BOTTOM - (y - v->y.low) / (v->y.high - v->y.low) * (HEIGHT - TOP - BOTTOM);
}

static struct view view_of(const struct plot *f)
{
    double low[2] = { INFINITY, INFINITY }, high[2] = { -INFINITY, -INFINITY };

    for (size_t k = 0; k < f->n; k++) {
        for (size_t i = 0; i < f->series[k].n; i++) {
            const double at[2] = { f->series[k].x[i], f->series[k].y[i] };
            for (int d = 0; d < 2; d++) {
                low[d] = fmin(low[d], at[d]);
                high[d] = fmax(high[d], at[d]);
            }
        }
    }
    if (f->unit || !isfinite(low[0]) || !isfinite(low[1]))
        return (struct view){ axis_for(0, 1), axis_for(0, 1) };
    return (struct view){ axis_for(low[0], high[0]),
        axis_for(f->y_from_0 ? fmin(0, low[1]) : low[1], high[1]) };
}

static int ticks(const struct axis *a)
{
    return (int)lround((a->high - a->low) / a->step);
}

static double tick(const struct axis *a, int i)
{
    double at = a->low + i * a->step;

    return fabs(at) < a->step * 1e-6 ? 0 : at; /* no "-0" */
}

static void put_axes(struct page *p, const struct plot *f, const struct view *v)
{
    int bottom = HEIGHT - BOTTOM, right = WIDTH - RIGHT;

    for (int i = 0; i <= ticks(&v->y); i++) {
        double y = at_y(v, tick(&v->y, i));
        page_put(p, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, y, right);
        page_put(p, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>", LEFT - 6, y + 4,
            v->y.digits, tick(&v->y, i));
    }
    for (int i = 0; i <= ticks(&v->x); i++)
        page_put(p, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.*f</text>",
            at_x(v, tick(&v->x, i)), bottom + 17, v->x.digits, tick(&v->x, i));
    page_put(p, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>", LEFT, TOP, bottom, right);
    page_put(p, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + right) / 2, HEIGHT - 8);
    page_text(p, f->x_label);
    page_put(p, "</text><text transform=\"translate(14 %d)rotate(-90)\" text-anchor=\"middle\">",
        (TOP + bottom) / 2);
    page_text(p, f->y_label);
    page_put(p, "</text>");
}

static void put_series(struct page *p, const struct plot_series *s, const struct view *v)
{
    if (s->line && s->n > 1) {
        page_put(p, "<path class=\"line c%d\" d=\"", s->color);
        for (size_t i = 0; i < s->n; i++)
            page_put(p, "%c%.1f %.1f", i ? 'L' : 'M', at_x(v, s->x[i]), at_y(v, s->y[i]));
        page_put(p, "\"/>");
    }
    for (size_t i = 0; i < s->n && s->points; i++)
        page_put(p, "<circle class=\"c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", s->color,
            at_x(v, s->x[i]), at_y(v, s->y[i]));
}

static void put_mark(struct page *p, const struct plot *f, const struct view *v)
{
    double x = at_x(v, f->mark_x), y = at_y(v, f->mark_y);
    bool left = x > (LEFT + WIDTH - RIGHT) / 2., high = y < TOP + 24;

    page_put(p, "<path class=\"mark\" d=\"M%.1f %dV%d\"/>", x, TOP, HEIGHT - BOTTOM);
    page_put(p, "<path class=\"peak\" d=\"M%.1f %.1fl6 6l-6 6l-6 -6z\"/>", x, y - 6);
    page_put(p, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x + (left ? -10 : 10),
        high ? y + 22 : y - 10, left ? "end" : "start");
    page_text(p, f->mark);
    page_put(p, "</text>");
}

/* What the picture shows, for those who do not see it, and the range for those who do. */
static void put_caption(struct page *p, const struct plot *f, const struct view *v)
{
    page_put(p, "<figcaption><b>");
    page_text(p, f->title);
    page_put(p, "</b>");
    for (size_t k = 0; k < f->n; k++) {
        const struct plot_series *s = &f->series[k];
        page_put(p, "<br><span class=\"key k%d\">%s</span> ", s->color, s->line ? "━" : "●");
        page_text(p, s->name);
    }
    page_put(
        p, "<br>y from %.*f to %.*f</figcaption>", v->y.digits, v->y.low, v->y.digits, v->y.high);
}

void page_plot(struct page *p, const struct plot *f)
{
    struct view v = view_of(f);

    page_put(p, "<figure><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    page_text(p, f->title);
    page_put(p, ": ");
    page_text(p, f->y_label);
    page_put(p, " over ");
    page_text(p, f->x_label);
    if (f->mark) {
        page_put(p, "; ");
        page_text(p, f->mark);
    }
    page_put(p, "; the numbers are in the table below\">");
    put_axes(p, f, &v);
    if (f->unit)
        page_put(p, "<path class=\"mark\" d=\"M%.1f %.1fL%.1f %.1f\"/>", at_x(&v, 0), at_y(&v, 0),
            at_x(&v, 1), at_y(&v, 1));
    for (size_t k = 0; k < f->n; k++)
        put_series(p, &f->series[k], &v);
    if (f->mark)
        put_mark(p, f, &v);
    page_put(p, "</svg>");
    put_caption(p, f, &v);
    page_put(p, "</figure>\n");
}
