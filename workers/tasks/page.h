#ifndef WORKERS_TASKS_PAGE_H
#define WORKERS_TASKS_PAGE_H

#include "proto/bytes.h"

/* HTML in the making: the first failure sticks in rc, and later calls do nothing. */
struct page {
    struct buf *out;
    int rc;
};

/* Markup, as it is: what comes from elsewhere goes through page_text. */
void page_put(struct page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text, in an element or an attribute's quotes: markup and control bytes escaped; line ends stay.
 */
void page_text(struct page *p, const char *text);

/* The language that most letters of a text are of, for `lang`: "zh", "en", "" when there are none
 * (NULL: no text). */
const char *page_lang(const char *text);

/* A figure: axes with labels, ticks and the range of y in words, a line and points for each series.
 * Shapes and words carry what colours do. */
struct plot_series {
    const char *name;
    int color;           /* of the page's palette: 0 … 5 */
    const double *x, *y; /* borrowed */
    size_t n;
    bool line, points;
};
#define PLOT_SERIES 3
struct plot {
    const char *title, *x_label, *y_label;
    struct plot_series series[PLOT_SERIES];
    size_t n;
    const char *mark; /* words at a point that stands out; NULL: none */
    double mark_x, mark_y;
    bool unit;     /* both axes are 0 … 1, and y = x is drawn */
    bool y_from_0; /* y begins at 0 */
};
void page_plot(struct page *p, const struct plot *f);

#endif
