#ifndef ORCHESTRATOR_AUDITS_H
#define ORCHESTRATOR_AUDITS_H

#include "orchestrator/runs.h"

/* Audits: a share of a job's tasks is run a second time, on another worker where there is one, and
 * the two results are compared: silent corruption and non-determinism are caught, not assumed away.
 *
 *     answered ──► its id is in the share ──► open audit ──► agrees: counted
 *                                                      ├───► differs: the job fails, for good
 *                                                      └───► cannot be run: counted, and told
 *
 * INVARIANTS
 * (1) Which tasks are audited follows from their ids alone. What was known already is not audited;
 *     but who takes an answer of which an audit is open waits for it as well.
 * (2) The job goes on meanwhile; it is done when its audits are over.
 * (3) The first result is what everything is built on. When a second one differs, both are told and
 *     the first is forgotten: who was right is not known.
 * (4) record.audits are the open ones. A restart goes on with them. */

/* share: in [0, 1]. */
bool audit_picks(const struct id *task, double share);

/* Called for an answer that counts; `by` gave it, as attempt `ref`. */
int audit_begin(struct orchestrator *o, struct job_book *b, const struct task *t,
    const TaskAnswer *a, const struct ref *ref, const struct session *by, struct err *e);
/* b takes a known answer to `task`: when it is being audited for another job, b waits for that,
 * too.
 */
int audit_join(struct orchestrator *o, struct job_book *b, const struct id *task, struct err *e);
int audit_answered(struct orchestrator *o, struct job_book *b, const struct action *a,
    const TaskAnswer *second, struct err *e);
/* It will not be run again: `text` says how its last attempt failed. */
int audit_missed(struct orchestrator *o, struct job_book *b, const struct action *a,
    const char *text, struct err *e);
int audits_resume(struct orchestrator *o, struct job_book *b, struct err *e); /* after a restart */
/* The job is over: nothing is compared any more. */
int audits_drop(struct orchestrator *o, struct job_book *b, struct err *e);

bool answers_agree(const TaskAnswer *a, const TaskAnswer *b); /* the same outputs */

#endif
