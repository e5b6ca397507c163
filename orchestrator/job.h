#ifndef ORCHESTRATOR_JOB_H
#define ORCHESTRATOR_JOB_H

#include <stdbool.h>

/* What can become of a job and of a task. A job:
 *
 *                      last need is done        first task is leased
 *           BLOCKED ──────────────────► READY ───────────────────────► RUNNING ──► DONE
 *              │                        │ ▲ │                          │  │  │
 *              │       all labels are in│ │ └──────── cached ──────────┼──┼──┼──► DONE
 *              │                        ▼ │                            │  │  │
 *              │             WAITING_FOR_PEOPLE ◄──────────────────────┘  │  │
 *              │                        │                                 │  │
 *              └────────────────────────┴──── cancelled, a need failed ───┘  └──► FAILED
 *                                       ▼
 *                                   CANCELLED                      (READY may fail as well)
 *
 * A task, as long as a job waits for its answer:
 *
 *           READY ──────────► LEASED ──► DONE
 *             ▲ ▲               │ │
 *             │ └─ lost,stopped ┘ ├───► FAILED
 *             │                   ▼
 *             └──────────── BACKING_OFF ──► FAILED, DONE (an answer that was thought lost)
 *
 * The numbers of job states are stored (JobRecord.state): they are never changed. */
enum job_state {
    JOB_BLOCKED = 0,
    JOB_READY = 1,
    JOB_RUNNING = 2,
    JOB_WAITING_FOR_PEOPLE = 3,
    JOB_DONE = 4,
    JOB_FAILED = 5,
    JOB_CANCELLED = 6,
    JOB_STATES
};

enum task_state { TASK_READY, TASK_LEASED, TASK_BACKING_OFF, TASK_DONE, TASK_FAILED, TASK_STATES };

const char *job_state_name(enum job_state s); /* "waiting_for_people" */
const char *task_state_name(enum task_state s);
bool job_may_move(enum job_state from, enum job_state to);
bool task_may_move(enum task_state from, enum task_state to);
bool job_is_over(enum job_state s); /* done, failed or cancelled */

#endif
