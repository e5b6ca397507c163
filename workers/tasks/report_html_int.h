#ifndef WORKERS_TASKS_REPORT_HTML_INT_H
#define WORKERS_TASKS_REPORT_HTML_INT_H

#include "workers/tasks/page.h"
#include "workers/tasks/report.h"

/* A section: the curve of gold and proxy, what else practice changed, and their numbers. */
void report_html_curve(struct page *p, const ReportCurve *c);

#endif
