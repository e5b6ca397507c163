#include "orchestrator/runs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/audits.h"
#include "orchestrator/field.h"
#include "orchestrator/roots.h"
#include "proto/task.h"

/* A job's rounds: what its tasks have answered becomes slots, slots unfold into the next tasks.
 * What is known already — the whole job by its key, a task by its id — is not run again. */

void round_clear(struct round *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->names[i]);
        message_free(r->answers[i]);
    }
    free(r->names);
    free(r->ids);
    free(r->answers);
    *r = (struct round){ 0 };
}

/* ---- slots ---- */

/* At i, or behind the last. */
static int set_output(
    Output ***items, size_t *n, size_t i, const char *name, const Output *output, struct err *e)
{
    ProtobufCMessage *copy = NULL;
    Output **p;
    int rc = message_copy(&copy, &output->base, e);

    if (rc == OK)
        rc = field_text(&((Output *)copy)->name, name, e);
    if (rc == OK && i == *n) {
        p = field_grow(*items, *n, sizeof *p, e);
        rc = p ? OK : e->code;
        if (p) {
            *items = p;
            p[(*n)++] = NULL;
        }
    }
    if (rc != OK) {
        message_free(copy);
        return rc;
    }
    message_free((*items)[i]);
    (*items)[i] = (Output *)copy;
    return OK;
}

static int add_output(
    Output ***items, size_t *n, const char *name, const Output *output, struct err *e)
{
    size_t i = 0;

    while (i < *n && strcmp((*items)[i]->name, name))
        i++;
    return set_output(items, n, i, name, output, e);
}

/* FNV-1a (Fowler, Noll, Vo). */
static size_t hash_name(const char *name)
{
    uint64_t h = 0xcbf29ce484222325ull;

    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3ull;
    return (size_t)h;
}

static int index_grow(struct slot_index *x, size_t n, struct err *e)
{
    size_t cap = x->cap ? x->cap : 16;

    while (cap < 2 * n)
        cap *= 2;
    if (cap == x->cap)
        return OK;
    uint32_t *at = calloc(cap, sizeof *at);
    if (!at)
        return err_set(e, E_NOMEM, "out of memory");
    free(x->at);
    *x = (struct slot_index){ at, cap, 0 };
    return OK;
}

/* Where that slot is, or would be put: place + 1 of the index, 0: nobody's. */
static uint32_t *slot_place(struct job_book *b, const char *name)
{
    struct slot_index *x = &b->index;
    size_t i = hash_name(name) & (x->cap - 1);

    while (x->at[i] && strcmp(b->record->slots[x->at[i] - 1]->name, name))
        i = (i + 1) & (x->cap - 1);
    return &x->at[i];
}

/* The index follows the slots, which a restart brings back without it. */
static int index_slots(struct job_book *b, struct err *e)
{
    int rc = index_grow(&b->index, b->record->n_slots + 1, e);

    for (; rc == OK && b->index.n < b->record->n_slots; b->index.n++)
        *slot_place(b, b->record->slots[b->index.n]->name) = (uint32_t)b->index.n + 1;
    return rc;
}

int round_slot(struct job_book *b, const char *name, const Output *output, struct err *e)
{
    int rc = index_slots(b, e);
    uint32_t at = rc == OK ? *slot_place(b, name) : 0;

    return rc == OK ? set_output(&b->record->slots, &b->record->n_slots,
                          at ? at - 1 : b->record->n_slots, name, output, e)
                    : rc;
}

static const Output *find(Output *const *items, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(items[i]->name, name))
            return items[i];
    return NULL;
}

static const Output *bound(const struct job_book *b, const struct binding *from)
{
    const Submit *s = b->run->record->submit;
    const JobRecord *source;

    if (from->output) {
        source = b->run->jobs[from->source].record;
        return find(source->outputs, source->n_outputs, from->output);
    }
    for (size_t i = 0; i < s->n_inputs; i++)
        if (!strcmp(s->inputs[i]->name, s->pipeline->inputs[from->source]->name))
            return s->inputs[i]->artifact;
    return NULL;
}

/* in.PORT, or in.PORT.0, in.PORT.1 … of a port that stands several times. */
static int bind(struct job_book *b, struct err *e)
{
    const struct plan_job *p = b->plan;
    char name[256];
    int rc = OK;

    for (size_t i = 0; i < p->n_bindings && rc == OK; i++) {
        size_t before = 0, all = 0;
        const Output *o = bound(b, &p->bindings[i]);
        for (size_t k = 0; k < p->n_bindings; k++)
            if (!strcmp(p->bindings[k].port, p->bindings[i].port)) {
                before += k < i;
                all++;
            }
        if (!o)
            return err_set(
                e, E_MISSING, "there is nothing for its input '%s'", p->bindings[i].port);
        if (all > 1)
            snprintf(name, sizeof name, "in.%s.%zu", p->bindings[i].port, before);
        else
            snprintf(name, sizeof name, "in.%s", p->bindings[i].port);
        rc = round_slot(b, name, o, e);
    }
    return rc;
}

/* The slot's new artifact takes the place of another one, which may have been a link. */
static int next_slot(struct orchestrator *o, struct job_book *b, const char *name,
    const Output *output, struct err *e)
{
    int rc = index_slots(b, e);
    uint32_t at = rc == OK ? *slot_place(b, name) : 0;

    if (at)
        rc = chain_moves(o, b->record->slots[at - 1], e);

    return rc == OK ? round_slot(b, name, output, e) : rc;
}

/* The finished round's answers become slots, in the order of its places. */
static int fold(struct orchestrator *o, struct job_book *b, struct err *e)
{
    struct round *r = &b->round;
    struct buf name = { 0 };
    int rc = OK;

    for (size_t i = 0; i < r->n && rc == OK; i++) {
        assert(r->answers[i]);
        for (size_t k = 0; k < r->answers[i]->n_outputs && rc == OK; k++) {
            const Output *out = r->answers[i]->outputs[k];
            name.n = 0;
            if (buf_printf(&name, "%s%s%s", r->names[i], *r->names[i] ? "." : "", out->name) != OK)
                rc = err_set(e, E_NOMEM, "out of memory");
            else
                rc = next_slot(o, b, name.p, out, e);
        }
    }
    buf_free(&name);
    round_clear(r);
    return rc;
}

/* ---- what is known already ---- */

static int key_of(struct id *out, const struct job_book *b, struct err *e)
{
    Output **items = calloc(b->record->n_slots ? b->record->n_slots : 1, sizeof *items);
    struct slots inputs = { items, 0 };
    int rc;

    if (!items)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < b->record->n_slots; i++)
        if (!strncmp(b->record->slots[i]->name, "in.", 3))
            items[inputs.n++] = b->record->slots[i];
    rc = job_key(out, b->plan, &inputs, b->run->record->numeric_class, e);
    free(items);
    return rc;
}

static int copy_progress(Progress **out, const Progress *p, struct err *e)
{
    message_free(*out);
    *out = NULL;
    return p ? message_copy((ProtobufCMessage **)out, &p->base, e) : OK;
}

static int look_up(struct orchestrator *o, struct job_book *b, bool *known, struct err *e)
{
    JobRecord *r = b->record;
    JobAnswer *a = NULL;
    struct id key;
    int rc = key_of(&key, b, e);

    if (rc == OK)
        rc = journal_job_answer(o->journal, &key, &a, e);
    *known = rc == OK && a && outputs_stored(o->store, a->outputs, a->n_outputs);
    for (size_t i = 0; *known && i < a->n_outputs && rc == OK; i++)
        rc = add_output(&r->outputs, &r->n_outputs, a->outputs[i]->name, a->outputs[i], e);
    if (*known && rc == OK)
        rc = field_metrics(&r->metrics, &r->n_metrics, a->metrics, a->n_metrics, e);
    if (*known && rc == OK)
        rc = copy_progress(&r->progress, a->progress, e);
    if (*known)
        r->has_cached = r->cached = true;
    message_free(a);
    return rc;
}

static int remember(struct orchestrator *o, struct job_book *b, struct err *e)
{
    JobRecord *r = b->record;
    JobAnswer a = JOB_ANSWER__INIT;
    struct id key;
    int rc = key_of(&key, b, e);

    a.n_outputs = r->n_outputs;
    a.outputs = r->outputs;
    a.n_metrics = r->n_metrics;
    a.metrics = r->metrics;
    a.progress = r->progress;
    return rc == OK ? journal_put_job_answer(o->journal, &key, &a, e) : rc;
}

/* ---- unfolding ---- */

static bool is_brief(const TaskSpec *s)
{
    return s->kind_case == TASK_SPEC__KIND_JOIN || s->kind_case == TASK_SPEC__KIND_RANK ||
           s->kind_case == TASK_SPEC__KIND_ENCODE || s->kind_case == TASK_SPEC__KIND_REPORT;
}

static bool was_leased(const JobRecord *r, const struct id *task)
{
    for (size_t i = 0; i < r->n_leases; i++)
        if (!memcmp(r->leases[i]->task.data, task->b, sizeof task->b))
            return true;
    return false;
}

static int place_task(
    struct orchestrator *o, struct job_book *b, struct unfolding *u, uint32_t place, struct err *e)
{
    struct round *r = &b->round;
    TaskAnswer *known = NULL;
    struct task_spec spec = { 0 };
    int rc = task_id(&spec.id, u->tasks[place], e);

    r->names[place] = strdup(u->names[place]);
    r->n = place + 1;
    if (!r->names[place])
        return err_set(e, E_NOMEM, "out of memory");
    r->ids[place] = spec.id;
    if (rc == OK && !sched_task(o->sched, &spec.id))
        rc = journal_answer(o->journal, &spec.id, &known, e);
    if (rc != OK)
        return rc;
    if (known && outputs_stored(o->store, known->outputs, known->n_outputs)) {
        r->answers[place] = known;
        /* What was answered before a restart was counted then. */
        b->record->tasks_cached += !b->resumed;
        rc = field_metrics(
            &b->record->metrics, &b->record->n_metrics, known->metrics, known->n_metrics, e);
        return rc == OK ? audit_join(o, b, &spec.id, e) : rc;
    }
    message_free(known);
    r->missing++;
    spec.awaited = b->resumed && was_leased(b->record, &spec.id);
    spec.spec = u->tasks[place];
    spec.brief = is_brief(spec.spec);
    spec.from_ms = o->now.ms;
    spec.class_tag = spec.spec->numeric_class && *spec.spec->numeric_class ? b->run->class_tag : 0;
    rc = sched_add_task(NULL, o->sched, b->job, place, &spec, e);
    if (rc == OK)
        u->tasks[place] = NULL; /* taken */
    return rc;
}

static int unfold_tasks(
    struct orchestrator *o, struct job_book *b, struct unfolding *u, struct err *e)
{
    struct round *r = &b->round;
    struct event ev = { .kind = EV_UNFOLDED, .job = b->job };
    int rc = OK;

    r->names = calloc(u->n_tasks, sizeof *r->names);
    r->ids = calloc(u->n_tasks, sizeof *r->ids);
    r->answers = calloc(u->n_tasks, sizeof *r->answers);
    if (!r->names || !r->ids || !r->answers)
        return err_set(e, E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < u->n_tasks && rc == OK; i++)
        rc = place_task(o, b, u, i, e);
    b->resumed = false;
    job_changed(o, b);
    if (rc == OK)
        rc = progress_count(b, e);
    return rc == OK ? runs_follow(o, &ev, e) : rc;
}

static int finish(struct orchestrator *o, struct job_book *b, struct err *e)
{
    struct event ev = { .kind = EV_FINISHED, .job = b->job };
    Progress *p = b->record->progress;

    if (p && p->has_total)
        p->done = p->total;
    job_changed(o, b);
    return runs_follow(o, &ev, e);
}

static int unfold_done(
    struct orchestrator *o, struct job_book *b, struct unfolding *u, struct err *e)
{
    JobRecord *r = b->record;
    int rc = OK;

    for (size_t i = 0; i < u->n_outputs && rc == OK; i++)
        rc = add_output(&r->outputs, &r->n_outputs, u->outputs[i]->name, u->outputs[i], e);
    r->has_cached = true;
    r->cached = r->tasks_run == 0 && r->tasks_cached > 0;
    if (rc == OK)
        rc = chain_ends(o, b, e);
    if (rc == OK)
        rc = finish(o, b, e);
    return rc == OK ? remember(o, b, e) : rc;
}

static int broken(struct orchestrator *o, struct job_book *b, const struct err *why, struct err *e)
{
    struct event ev = { .kind = EV_BROKEN, .job = b->job };
    int rc;

    if (why->code == E_NOMEM) {
        *e = *why;
        return E_NOMEM;
    }
    rc = field_text(&b->record->why, why->msg, e);
    return rc == OK ? runs_follow(o, &ev, e) : rc;
}

int round_unfold(struct orchestrator *o, struct job_book *b, struct err *e)
{
    struct unfolding u = { 0 };
    struct err why = ERR_INIT;
    bool known = false;
    int rc = fold(o, b, e);

    if (rc != OK)
        return rc;
    b->record->round = b->job->round;
    if (b->job->round == 0 && b->record->n_slots == 0) {
        if (bind(b, &why) != OK)
            return broken(o, b, &why, e);
        rc = look_up(o, b, &known, e);
        if (rc != OK || known)
            return rc == OK ? finish(o, b, e) : rc;
    }
    struct slots slots = { b->record->slots, b->record->n_slots };
    if (unfold(&u, b->plan, &slots, b->job->round, b->run->record->numeric_class, &why) != OK)
        return broken(o, b, &why, e);
    switch (u.what) {
    case UNFOLD_TASKS:
        rc = u.n_tasks > 0
                 ? unfold_tasks(o, b, &u, e)
                 : err_set(e, E_INVARIANT, "job '%s' unfolds into nothing", b->plan->name);
        break;
    case UNFOLD_DONE:
        b->awaits_audits = b->record->n_audits > 0;
        rc = b->awaits_audits ? OK : unfold_done(o, b, &u, e);
        break;
    case UNFOLD_PEOPLE:
        rc = people_wait(o, b, u.wanted, e);
        break;
    }
    unfolding_free(&u);
    return rc;
}

int round_answer(struct orchestrator *o, struct job_book *b, const struct waiter *w,
    const struct task *t, const TaskAnswer *a, struct err *e)
{
    JobRecord *r = b->record;
    int rc = message_copy((ProtobufCMessage **)&b->round.answers[w->place], &a->base, e);

    r->tasks_run++;
    b->round.missing--;
    job_changed(o, b);
    if (rc == OK)
        rc = field_metrics(&r->metrics, &r->n_metrics, a->metrics, a->n_metrics, e);
    if (rc == OK)
        rc = progress_count(b, e);
    return rc == OK ? progress_answer(o, b, t, a, e) : rc;
}
