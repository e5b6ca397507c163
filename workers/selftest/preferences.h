#ifndef WORKERS_SELFTEST_PREFERENCES_H
#define WORKERS_SELFTEST_PREFERENCES_H

#include "workers/selftest/policy.h"

/* DPO in the world of outcomes, through the real tasks: rankings of outcomes whose labels have
 * exactly Bradley and Terry's proportions, the reference's log-probabilities, training. init: where
 * it starts. */
int prefer(struct id *checkpoint, struct testbed *t, double beta, const struct id *init,
    const struct id *reference, struct err *e);

#endif
