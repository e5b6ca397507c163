#ifndef WORKERS_SELFTEST_TESTBED_H
#define WORKERS_SELFTEST_TESTBED_H

#include <limits.h>

#include "workers/tasks/spec.h"
#include "workers/tasks/task.h"

/* Where a test computes: an engine of its own, and a store of its own in a temporary folder in
 * which the real tasks run one after the other, without orchestrator or daemon. */
struct testbed {
    char folder[PATH_MAX]; /* exists; the caller's to remove */
    struct engine engine;
    struct store *store; /* NULL until testbed_store */
    struct warm *warm;
    bool wrong_kl; /* to show that the gate refuses it */
    bool forgets;  /* after every task, as an executor that starts anew */
};

/* threads: 1 in tests, which run side by side. */
int testbed_open(struct testbed *t, const char *folder, int threads, struct err *e);
void testbed_close(struct testbed *t);

/* What the tasks of this testbed may use, as it is now. */
struct task_context testbed_context(struct testbed *t);
/* Makes the store when there is none yet. */
int testbed_store(struct testbed *t, struct err *e);
/* Forgets everything kept warm, and goes on with another number of threads. */
int testbed_cold(struct testbed *t, int threads, struct err *e);
/* Takes a file of the given content in. split: enum Split. */
int testbed_file(struct id *out, struct testbed *t, const char *name, const char *content,
    int split, struct err *e);

/* Defaults are filled in, then task_run. The answer is freed by message_free. */
int spec_run(TaskAnswer **out, struct testbed *t, struct spec *s, struct err *e);
/* Runs it for one output; metrics and the other outputs are dropped. */
int spec_run_for(
    struct id *out, struct testbed *t, struct spec *s, const char *output, struct err *e);

#endif
