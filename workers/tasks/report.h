#ifndef WORKERS_TASKS_REPORT_H
#define WORKERS_TASKS_REPORT_H

#include "proto/message.h"

/* The report as Markdown, for people. Pure. */
int report_markdown(struct buf *out, const Report *r);

#endif
