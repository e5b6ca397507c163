#ifndef WORKERS_TASKS_REPORT_H
#define WORKERS_TASKS_REPORT_H

#include "proto/message.h"

/* An evaluation's report, for people. Pure: what is written follows from the message alone. OK or
 * E_NOMEM. */
int report_markdown(struct buf *out, const Report *r);

/* One page that needs nothing from elsewhere, no script either. Every text is escaped. */
int report_html(struct buf *out, const Report *r);

/* The lines of the table of stages, for every form of the report. A cell is plain ASCII but for
 * – and ±; *known: the stage has something to say (else the cell is –). */
size_t report_lines(void);
int report_line_title(struct buf *out, const Report *r, size_t line);
int report_cell(struct buf *out, bool *known, const ReportStage *s, size_t line);

/* What the numbers do not show: sentence i of those that hold for r; NULL: there is none. */
const char *report_limit(const Report *r, size_t i);

/* A token in quotes, control bytes escaped; as bytes in brackets when it is no whole characters. */
int report_token(struct buf *out, const ProtobufCBinaryData *t);

/* "4 to 15", "up to -16", "3". */
int report_bounds(struct buf *out, const AccuracyBin *b);

/* "84.5 % ± 1.2"; without ± where all or none were right, which has no spread. */
int report_share(struct buf *out, const Interval *i);

/* A paragraph: accuracy, ceiling, calibration, length. r->accuracy is there. */
int report_reward_words(struct buf *out, const RewardReport *r);

/* Curves of practice. Means of a batch are noisy, so averages are taken: of an odd number of
 * iterations, a tenth of all, at least 3; cut at the ends. */
size_t report_window(size_t points);
double report_average(const double *x, size_t n, size_t at);
/* Sets what follows from the points: nothing unless all of them have a gold score. */
int report_curve_peak(ReportCurve *c, struct err *e);
/* The gold score is lower at the end than at its peak, by more than chance. */
bool report_curve_fell(const ReportCurve *c);
/* A paragraph: from where to where, the peak, what came after it. */
int report_curve_words(struct buf *out, const ReportCurve *c);

#endif
