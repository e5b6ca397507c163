#ifndef PIPELINES_EXPAND_H
#define PIPELINES_EXPAND_H

#include "pipelines/mistakes.h"
#include "pipelines/plan.h"

/* plan_make that tells all mistakes. *out is NULL, with OK, when there are any. */
int plan_expand(struct plan **out, const Submit *submit, struct mistakes *m, struct err *e);

#endif
