#include "orchestrator/runs.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/audits.h"
#include "orchestrator/field.h"
#include "orchestrator/run_record.h"
#include "proto/log.h"

struct name_count {
    char *pipeline;
    uint64_t last;
    struct name_count *next;
};

/* ---- memory ---- */

static void book_free(struct run_book *r)
{
    for (size_t i = 0; r->jobs && r->plan && i < r->plan->n_jobs; i++) {
        message_free(r->jobs[i].record);
        round_clear(&r->jobs[i].round);
        free(r->jobs[i].lines.numbers);
        free(r->jobs[i].index.at);
    }
    free(r->jobs);
    plan_free(r->plan); /* borrows from the record */
    message_free(r->record);
    free(r);
}

void runs_free(struct orchestrator *o)
{
    while (o->names) {
        struct name_count *n = o->names;
        o->names = n->next;
        free(n->pipeline);
        free(n);
    }
    while (o->books) {
        struct run_book *r = o->books;
        o->books = r->next;
        book_free(r);
    }
}

/* ---- looking ---- */

struct run_book *runs_find(const struct orchestrator *o, const char *name)
{
    struct run_book *r = o->books;

    while (r && strcmp(r->record->name, name))
        r = r->next;
    return r;
}

struct job_book *run_job(const struct run_book *r, const char *name)
{
    for (size_t i = 0; i < r->plan->n_jobs; i++)
        if (!strcmp(r->plan->jobs[i].name, name))
            return &r->jobs[i];
    return NULL;
}

struct job_book *runs_job(const struct job *j)
{
    return &j->run->book->jobs[j->index];
}

/* ---- adding ---- */

int runs_name(char **out, struct orchestrator *o, const char *pipeline, struct err *e)
{
    struct name_count *n = o->names;
    struct state_txn *t = NULL;
    int rc = OK;

    while (n && strcmp(n->pipeline, pipeline))
        n = n->next;
    if (!n) {
        n = calloc(1, sizeof *n);
        if (!n || !(n->pipeline = strdup(pipeline))) {
            free(n);
            return err_set(e, E_NOMEM, "out of memory");
        }
        n->next = o->names;
        o->names = n;
        rc = journal_txn(o->journal, &t, e);
        if (rc == OK)
            rc = run_record_last(&n->last, t, pipeline, e);
    }
    return rc == OK ? field_textf(out, e, "%s-%llu", pipeline, (unsigned long long)++n->last) : rc;
}

static int new_record(JobRecord **out, uint64_t run, uint32_t index, struct err *e)
{
    JobRecord *j = malloc(sizeof *j);

    if (!j)
        return err_set(e, E_NOMEM, "out of memory");
    job_record__init(j);
    j->has_run = j->has_index = j->has_state = j->has_round = j->has_attempts = true;
    j->has_tasks_run = j->has_tasks_cached = true;
    j->run = run;
    j->index = index;
    j->state = JOB_BLOCKED;
    *out = j;
    return OK;
}

static int spec_fill(
    struct job_spec *out, struct orchestrator *o, const struct job_book *b, struct err *e)
{
    const Resources *need = b->plan->stage->resources;
    size_t n = need ? need->n_labels : 0;
    int rc = OK;

    *out = (struct job_spec){
        .after = b->plan->after,
        .n_after = b->plan->n_after,
        .priority = b->plan->stage->priority,
        .retries = b->plan->stage->retries,
        .memory = need ? need->memory : 0,
        .threads = need ? need->threads : 0,
        .state = b->record->state < JOB_STATES ? (enum job_state)b->record->state : JOB_BLOCKED,
        .round = b->record->round,
        .attempts = b->record->attempts,
        .paused = b->record->paused,
    };
    out->labels.items = calloc(n ? n : 1, sizeof *out->labels.items);
    if (!out->labels.items)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = fleet_label(o->fleet, need->labels[i], &out->labels.items[out->labels.n++], e);
    return rc;
}

static int book_jobs(struct orchestrator *o, struct run_book *r, bool fresh, struct err *e)
{
    int rc = OK;

    r->jobs = calloc(r->plan->n_jobs ? r->plan->n_jobs : 1, sizeof *r->jobs);
    if (!r->jobs)
        return err_set(e, E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < r->plan->n_jobs && rc == OK; i++) {
        struct job_book *b = &r->jobs[i];
        b->plan = &r->plan->jobs[i];
        b->run = r;
        if (!fresh)
            rc = journal_job(o->journal, r->record->number, i, &b->record, e);
        if (rc == OK && !b->record)
            rc = new_record(&b->record, r->record->number, i, e);
        if (rc == OK && !fresh) {
            enum job_state s = b->record->state < JOB_STATES ? b->record->state : JOB_BLOCKED;
            b->resumed = s != JOB_BLOCKED && !job_is_over(s);
            rc = people_load(o, b, e);
        }
    }
    return rc;
}

static int schedule(struct orchestrator *o, struct run_book *r, bool fresh, struct err *e)
{
    size_t n = r->plan->n_jobs;
    struct job_spec *specs = calloc(n ? n : 1, sizeof *specs);
    int rc = specs ? OK : err_set(e, E_NOMEM, "out of memory");

    for (size_t i = 0; i < n && rc == OK; i++)
        rc = spec_fill(&specs[i], o, &r->jobs[i], e);
    if (rc == OK)
        rc = sched_add_run(&r->run, o->sched, r->record->number, specs, n, e);
    if (rc == OK)
        r->run->book = r;
    for (size_t i = 0; i < n && rc == OK; i++) {
        r->jobs[i].job = &r->run->jobs[i];
        if (fresh)
            job_changed(o, &r->jobs[i]);
        else if (!job_is_over(r->jobs[i].job->state))
            rc = audits_resume(o, &r->jobs[i], e);
    }
    for (size_t i = 0; i < n && specs; i++)
        free(specs[i].labels.items);
    free(specs);
    return rc;
}

static void run_changed(struct orchestrator *o, struct run_book *r)
{
    if (r->changed)
        return;
    r->changed = true;
    r->next_changed = o->changed_runs;
    o->changed_runs = r;
}

static int add(
    struct orchestrator *o, RunRecord *record, struct plan *plan, bool fresh, struct err *e)
{
    struct run_book *r = calloc(1, sizeof *r);
    int rc;

    if (!r) {
        plan_free(plan);
        message_free(record);
        return err_set(e, E_NOMEM, "out of memory");
    }
    r->record = record;
    r->plan = plan;
    rc = book_jobs(o, r, fresh, e);
    if (rc == OK && !fresh)
        rc = progress_load_lines(o, r, e);
    if (rc == OK)
        rc = schedule(o, r, fresh, e);
    if (rc != OK) {
        book_free(r);
        return rc;
    }
    r->prev = o->last_book;
    *(r->prev ? &r->prev->next : &o->books) = r;
    o->last_book = r;
    if (fresh)
        run_changed(o, r);
    return OK;
}

int runs_add(struct orchestrator *o, RunRecord *record, struct plan *plan, struct err *e)
{
    return add(o, record, plan, true, e);
}

/* ---- going on after a restart ---- */

struct loading {
    RunRecord **items;
    size_t n;
};

static int collect(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct loading *l = ctx;
    RunRecord *r = (RunRecord *)m, **p;

    (void)key;
    if (r->state != RUN_STATE__RUN_RUNNING || !r->submit || !r->name) {
        message_free(m);
        return OK;
    }
    p = field_grow(l->items, l->n, sizeof *p, e);
    if (!p) {
        message_free(m);
        return e->code;
    }
    l->items = p;
    p[l->n++] = r;
    return OK;
}

/* What an older program took may be more than this one can plan: such a run has failed. */
static int give_up(struct orchestrator *o, uint64_t number, const struct err *why, struct err *e)
{
    struct state_txn *t = NULL;
    ProtobufCMessage *m = NULL;
    int rc = journal_txn(o->journal, &t, e);

    if (rc == OK)
        rc = state_get(t, STATE_RUN, key_numbers(1, number, 0, 0), &run_record__descriptor, &m, e);
    if (rc != OK || !m)
        return rc;
    RunRecord *r = (RunRecord *)m;
    outbox_tell(&o->outbox, LOG_ERROR, &(struct log_about){ .run = r->name },
        "run %s cannot go on: %s", r->name, why->msg);
    r->state = RUN_STATE__RUN_FAILED;
    r->has_finished_ms = true;
    r->finished_ms = o->now.unix_ms;
    rc = journal_put_run(o->journal, r, e);
    message_free(m);
    return rc;
}

/* Takes the record. */
static int go_on(struct orchestrator *o, RunRecord *r, struct err *e)
{
    struct err why = ERR_INIT;
    struct plan *plan = NULL;
    uint64_t number = r->number;
    int rc = plan_make(&plan, r->submit, &why);

    if (rc == OK)
        rc = add(o, r, plan, false, &why);
    else
        message_free(r);
    if (rc == E_INPUT || rc == E_MISSING)
        return give_up(o, number, &why, e);
    if (rc != OK)
        *e = why;
    return rc;
}

int runs_load(struct orchestrator *o, struct err *e)
{
    struct loading l = { 0 };
    struct state_txn *t = NULL;
    int rc = journal_txn(o->journal, &t, e);

    if (rc == OK)
        rc = state_each(t, STATE_RUN, (struct state_key){ .n = 0 }, false, &run_record__descriptor,
            collect, &l, e);
    for (size_t i = 0; i < l.n; i++) {
        if (rc == OK)
            rc = go_on(o, l.items[i], e);
        else
            message_free(l.items[i]);
    }
    free(l.items);
    return rc == OK ? runs_start(o, e) : rc;
}

/* ---- starting: the numeric class is chosen and written down before anything is dispatched ---- */

static int choose_class(struct orchestrator *o, struct run_book *r, struct err *e)
{
    const char *best = fleet_best_class(o->fleet);
    int rc;

    if (!r->record->numeric_class || !*r->record->numeric_class) {
        if (!best)
            return OK;
        rc = field_text(&r->record->numeric_class, best, e);
        if (rc != OK)
            return rc;
        run_changed(o, r);
    }
    return fleet_class(o->fleet, r->record->numeric_class, &r->class_tag, e);
}

int runs_start(struct orchestrator *o, struct err *e)
{
    int rc = OK;

    for (struct run_book *r = o->books; r && rc == OK; r = r->next) {
        if (r->class_tag)
            continue;
        rc = choose_class(o, r, e);
        if (rc != OK || !r->class_tag)
            continue;
        struct event ev = { .kind = EV_START, .run = r->run };
        rc = runs_follow(o, &ev, e);
    }
    return rc;
}

/* ---- what is leased, for the next orchestrator ---- */

static int lease_add(JobRecord *r, const struct task *t, struct err *e)
{
    const struct session *s = fleet_by_worker(t->holder);
    Lease **p = field_grow(r->leases, r->n_leases, sizeof *p, e);
    Lease *l = p ? malloc(sizeof *l) : NULL;

    if (p)
        r->leases = p;
    if (!l)
        return err_set(e, E_NOMEM, "out of memory");
    lease__init(l);
    p[r->n_leases++] = l;
    l->has_task = true;
    int rc = field_bytes(&l->task, &t->id, e);
    if (rc == OK)
        rc = field_text(&l->worker, s ? s->name : "", e);
    return rc == OK ? field_text(&l->host, s ? s->host : "", e) : rc;
}

/* Brief tasks are not worth it: some are begun twice after a restart. */
static int leases_fill(struct job_book *b, struct err *e)
{
    JobRecord *r = b->record;
    int rc = OK;

    while (r->n_leases > 0)
        message_free(r->leases[--r->n_leases]);
    for (uint32_t i = 0; b->job->leased > 0 && i < b->job->open + b->job->audits && rc == OK; i++) {
        const struct task *t = b->job->tasks[i];
        if (t->state == TASK_LEASED && !t->brief && !t->waiters[0].audit)
            rc = lease_add(r, t, e);
    }
    return rc;
}

static int free_awaited(
    struct orchestrator *o, const struct session *s, const JobRecord *r, struct err *e)
{
    struct event ev = { .kind = EV_FREED };
    int rc = OK;

    for (size_t i = 0; i < r->n_leases && rc == OK; i++) {
        const Lease *l = r->leases[i];
        if (l->worker && l->host && !strcmp(l->worker, s->name) && !strcmp(l->host, s->host) &&
            id_from_span(&ev.ref.task, l->task.data, l->task.len))
            rc = runs_follow(o, &ev, e);
    }
    return rc;
}

int runs_free_awaited(struct orchestrator *o, const struct session *s, struct err *e)
{
    int rc = OK;

    for (const struct run_book *r = o->books; r && rc == OK; r = r->next)
        for (size_t i = 0; i < r->plan->n_jobs && rc == OK; i++)
            rc = free_awaited(o, s, r->jobs[i].record, e);
    return rc == OK ? runs_pump(o, e) : rc;
}

/* ---- writing down ---- */

static void list_changed(struct orchestrator *o, struct job_book *b)
{
    if (b->changed || b->leased)
        return;
    b->next_changed = o->changed;
    o->changed = b;
}

void job_changed(struct orchestrator *o, struct job_book *b)
{
    list_changed(o, b);
    b->changed = true;
}

void job_leased(struct orchestrator *o, struct job_book *b)
{
    list_changed(o, b);
    b->leased = true;
}

static RunState end_state(const struct run_book *r)
{
    RunState s = RUN_STATE__RUN_DONE;

    for (size_t i = 0; i < r->plan->n_jobs; i++) {
        if (r->jobs[i].job->state == JOB_FAILED)
            return RUN_STATE__RUN_FAILED;
        if (r->jobs[i].job->state == JOB_CANCELLED)
            s = RUN_STATE__RUN_CANCELLED;
    }
    return s;
}

static int finish(struct orchestrator *o, struct run_book *r, struct err *e)
{
    static const char *const words[] = {
        [RUN_STATE__RUN_RUNNING] = "running",
        [RUN_STATE__RUN_DONE] = "done",
        [RUN_STATE__RUN_FAILED] = "failed",
        [RUN_STATE__RUN_CANCELLED] = "cancelled",
    };

    r->record->state = end_state(r);
    r->record->has_finished_ms = true;
    r->record->finished_ms = o->now.unix_ms;
    outbox_tell(&o->outbox, LOG_INFO, &(struct log_about){ .run = r->record->name }, "run %s: %s",
        r->record->name, words[r->record->state]);
    run_changed(o, r);
    return watchers_tell(o, r->record->name, e);
}

static void unlink_book(struct orchestrator *o, struct run_book *r)
{
    *(r->prev ? &r->prev->next : &o->books) = r->next;
    *(r->next ? &r->next->prev : &o->last_book) = r->prev;
}

int runs_flush(struct orchestrator *o, struct err *e)
{
    int rc = OK;

    while (o->changed && rc == OK) {
        struct job_book *b = o->changed;
        o->changed = b->next_changed;
        rc = leases_fill(b, e);
        if (rc == OK)
            rc = journal_put_job(o->journal, b->record, b->changed ? FIRM : SOFT, e);
        b->changed = b->leased = b->touched = false;
    }
    for (struct run_book *r = o->over; r && rc == OK; r = r->next_over)
        rc = finish(o, r, e);
    while (o->changed_runs && rc == OK) {
        struct run_book *r = o->changed_runs;
        o->changed_runs = r->next_changed;
        rc = journal_put_run(o->journal, r->record, e);
        r->changed = false;
    }
    while (o->over && rc == OK) {
        struct run_book *r = o->over;
        o->over = r->next_over;
        sched_remove_run(o->sched, r->run);
        unlink_book(o, r);
        book_free(r);
    }
    return rc;
}
