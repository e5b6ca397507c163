#include "orchestrator/runs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "orchestrator/metric_points.h"
#include "proto/clock.h"
#include "proto/task.h"
#include "proto/utf8.h"

#define HEARD_MS 200 /* a job's progress is taken at most so often */

/* ---- progress ---- */

static int own_progress(struct job_book *b, struct err *e)
{
    if (b->record->progress)
        return OK;
    b->record->progress = malloc(sizeof *b->record->progress);
    if (!b->record->progress)
        return err_set(e, E_NOMEM, "out of memory");
    progress__init(b->record->progress);
    return OK;
}

static void set_progress(Progress *p, uint64_t done, uint64_t total)
{
    p->has_done = p->has_total = true;
    p->done = done;
    p->total = total;
}

int progress_count(struct job_book *b, struct err *e)
{
    uint64_t done = b->record->tasks_run + b->record->tasks_cached;
    int rc = own_progress(b, e);

    if (rc == OK && !b->trains && !b->record->progress->rate_unit)
        set_progress(b->record->progress, done, done + b->round.missing);
    return rc;
}

struct dropping {
    struct journal *journal;
    const JobRecord *job;
};

static int drop_point(void *ctx, uint64_t number, struct err *e)
{
    struct dropping *d = ctx;

    return journal_drop_metric(d->journal, d->job->run, d->job->index, number, e);
}

static int add_point(struct orchestrator *o, struct job_book *b, uint64_t step, Metric **metrics,
    size_t n, struct err *e)
{
    MetricPoint point = METRIC_POINT__INIT;

    point.has_run = point.has_job = point.has_step = point.has_time_ms = true;
    point.run = b->record->run;
    point.job = b->record->index;
    point.step = step;
    point.time_ms = o->now.unix_ms;
    point.n_metrics = n;
    point.metrics = metrics;
    if (n == 0)
        return OK;
    int rc = metric_points_thin(
        b->next_metric, drop_point, &(struct dropping){ o->journal, b->record }, e);
    return rc == OK ? journal_put_metric(o->journal, &point, b->next_metric++, e) : rc;
}

int progress_answer(struct orchestrator *o, struct job_book *b, const struct task *t,
    const TaskAnswer *a, struct err *e)
{
    int64_t step = b->record->progress ? (int64_t)b->record->progress->total : 0;

    if (t->spec->kind_case != TASK_SPEC__KIND_TRAIN)
        return OK;
    /* the checkpoint in the end has no such fact */
    for (size_t i = 0; i < a->n_outputs; i++)
        step = fact_value(a->outputs[i]->facts, a->outputs[i]->n_facts, "step", step);
    return add_point(o, b, (uint64_t)step, a->metrics, a->n_metrics, e);
}

int progress_take(struct orchestrator *o, struct job_book *b, const struct task *t,
    const Progress *p, struct err *e)
{
    bool trains = t->spec->kind_case == TASK_SPEC__KIND_TRAIN;
    Progress *own;
    int rc;

    if (!trains && (b->trains || b->round.n > 1))
        return OK; /* one shard of several says little about the job */
    if (b->heard_ms > 0 && o->now.ms - b->heard_ms < HEARD_MS && p->done < p->total)
        return OK;
    b->heard_ms = o->now.ms;
    b->trains = b->trains || trains;
    b->touched = true;
    rc = own_progress(b, e);
    if (rc != OK)
        return rc;
    own = b->record->progress;
    set_progress(own, p->done, p->total);
    own->has_rate = p->has_rate;
    own->rate = p->rate;
    rc = field_text(&own->rate_unit, p->rate_unit, e);
    if (rc == OK)
        rc = field_metrics(&b->record->metrics, &b->record->n_metrics, p->metrics, p->n_metrics, e);
    return rc == OK ? add_point(o, b, p->done, p->metrics, p->n_metrics, e) : rc;
}

/* ---- why ---- */

#define WHY_TEXT 1024
#define LACK_TEXT 128
#define NAMED_MAX 4 /* workers that a text tells of, each with what it lacks */

static void lack_text(
    char out[LACK_TEXT], const struct orchestrator *o, const struct job *j, const struct why *w)
{
    const double gib = 1024.0 * 1024 * 1024;

    if (w->what == WHY_TAG)
        snprintf(out, LACK_TEXT, "has no %s", fleet_tag_name(o->fleet, w->tag));
    else if (w->what == WHY_THREADS)
        snprintf(
            out, LACK_TEXT, "gives %llu of %u threads", (unsigned long long)w->most, j->threads);
    else if (w->what == WHY_MEMORY)
        snprintf(
            out, LACK_TEXT, "has %.1f of %.1f GiB", (double)w->most / gib, (double)j->memory / gib);
    else
        snprintf(out, LACK_TEXT, "is draining");
    out[utf8_whole(out, strlen(out))] = '\0'; /* a long label was cut */
}

/* Which requirement each worker fails. */
static void no_suitable(char out[WHY_TEXT], const struct orchestrator *o, const struct job *j)
{
    size_t n = (size_t)snprintf(out, WHY_TEXT, "no suitable worker"), named = 0, more = 0;

    for (const struct session *s = fleet_first(o->fleet); s; s = s->next) {
        struct why w = sched_why_not(j, s->worker);
        char lack[LACK_TEXT];
        if (w.what == WHY_NOT)
            continue;
        if (named == NAMED_MAX) {
            more++;
            continue;
        }
        lack_text(lack, o, j, &w);
        n += (size_t)snprintf(
            out + n, WHY_TEXT - n, "%s%s %s", named++ ? "; " : ": ", s->name, lack);
    }
    if (more > 0)
        snprintf(out + n, WHY_TEXT - n, "; and %zu more", more);
}

static void backing_off(char out[WHY_TEXT], const struct orchestrator *o, const struct why *w)
{
    char until[CLOCK_TEXT];

    clock_iso(until, o->now.unix_ms + w->until_ms - o->now.ms + 999); /* to the whole second */
    snprintf(out, WHY_TEXT, "backing off until %.19sZ after a failed attempt: %s", until,
        retry_rule(w->cause)->words);
}

static void behind(char out[WHY_TEXT], const struct task *first)
{
    const struct job_book *b = runs_job(first->waiters[0].job);

    snprintf(out, WHY_TEXT, "%s does %s/%s first", first->holder->session->name,
        b->run->record->name, b->plan->name);
}

static void why_text(char out[WHY_TEXT], const struct orchestrator *o, const struct job_book *b)
{
    struct why w = sched_why(o->sched, b->job);

    *out = '\0';
    switch (w.what) {
    case WHY_NOT:
        break;
    case WHY_BEHIND:
        behind(out, w.first);
        break;
    case WHY_NO_WORKER:
        snprintf(out, WHY_TEXT, "no worker is connected");
        break;
    case WHY_TAG:
    case WHY_THREADS:
    case WHY_MEMORY:
        no_suitable(out, o, b->job);
        break;
    case WHY_PAUSED:
        snprintf(out, WHY_TEXT, "paused: `jielong resume %s/%s` lets it go on",
            b->run->record->name, b->plan->name);
        break;
    case WHY_DRAINING:
        snprintf(out, WHY_TEXT, "every worker that could take it is draining");
        break;
    case WHY_BUSY:
        snprintf(out, WHY_TEXT, "every worker that could take it is busy");
        break;
    case WHY_SILENT:
        snprintf(out, WHY_TEXT, "%s has fallen silent",
            w.first ? w.first->holder->session->name : "every worker that could take it");
        break;
    case WHY_BACKOFF:
        backing_off(out, o, &w);
        break;
    }
}

static int sweep_job(struct orchestrator *o, struct job_book *b, struct err *e)
{
    enum job_state state = b->job->state;
    char text[WHY_TEXT] = "";
    int rc = OK;

    if (job_is_over(state))
        return OK; /* its record was written when it ended */
    if (state == JOB_BLOCKED && !b->run->class_tag && b->job->n_after == 0)
        snprintf(text, sizeof text,
            fleet_first(o->fleet) ? "every worker has fallen silent" : "no worker is connected");
    else if (state == JOB_WAITING_FOR_PEOPLE)
        snprintf(text, sizeof text, "%llu of %u rankings are in", (unsigned long long)b->next_label,
            b->wanted);
    else if (state == JOB_READY || state == JOB_RUNNING || b->job->paused)
        why_text(text, o, b);
    if (b->awaits_audits && !*text)
        snprintf(text, sizeof text, "done, but for %zu tasks that are run again (audit)",
            b->record->n_audits);
    if (strcmp(text, b->record->why ? b->record->why : "")) {
        rc = field_text(&b->record->why, *text ? text : NULL, e);
        b->touched = true;
    }
    if (rc == OK && b->touched)
        rc = journal_put_job(o->journal, b->record, SOFT, e);
    b->touched = false;
    return rc;
}

int progress_sweep(struct orchestrator *o, struct err *e)
{
    int rc = OK;

    for (struct run_book *r = o->books; r && rc == OK; r = r->next)
        for (size_t i = 0; i < r->plan->n_jobs && rc == OK; i++)
            rc = sweep_job(o, &r->jobs[i], e);
    return rc;
}

/* ---- log lines ---- */

static int remember_line(struct lines *l, uint64_t number, uint64_t *dropped, struct err *e)
{
    *dropped = 0;
    if (!l->numbers)
        l->numbers = malloc(LOG_LINES_MAX * sizeof *l->numbers);
    if (!l->numbers)
        return err_set(e, E_NOMEM, "out of memory");
    if (l->n == LOG_LINES_MAX) {
        *dropped = l->numbers[l->first];
        l->first = (l->first + 1) % LOG_LINES_MAX;
        l->n--;
    }
    l->numbers[(l->first + l->n++) % LOG_LINES_MAX] = number;
    return OK;
}

int progress_log(struct orchestrator *o, struct job_book *b, const char *worker, uint32_t attempt,
    const char *text, struct err *e)
{
    LogLine line = LOG_LINE__INIT;
    char time[CLOCK_TEXT];
    uint64_t dropped;
    int rc;

    clock_iso(time, o->now.unix_ms);
    line.has_number = true;
    line.number = ++b->run->next_line;
    line.time = time;
    line.job = (char *)b->plan->name;
    line.worker = (char *)worker;
    line.has_attempt = attempt > 0;
    line.attempt = attempt;
    line.text = (char *)text;
    rc = remember_line(&b->lines, line.number, &dropped, e);
    if (rc == OK && dropped)
        rc = journal_drop_log(o->journal, b->record->run, dropped, e);
    return rc == OK ? journal_put_log(o->journal, b->record->run, &line, e) : rc;
}

int progress_logf(struct orchestrator *o, struct job_book *b, struct err *e, const char *fmt, ...)
{
    char text[2560]; /* a failure with a message of struct err, and what follows from it */
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return progress_log(o, b, "orchestrator", 0, text, e);
}

/* ---- after a restart ---- */

static int each_line(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct run_book *r = ctx;
    LogLine *line = (LogLine *)m;
    struct job_book *b = line->job ? run_job(r, line->job) : NULL;
    uint64_t dropped;
    int rc = OK;

    (void)key;
    if (line->number > r->next_line)
        r->next_line = line->number;
    if (b)
        rc = remember_line(&b->lines, line->number, &dropped, e);
    message_free(m);
    return rc;
}

int progress_load_lines(struct orchestrator *o, struct run_book *r, struct err *e)
{
    uint64_t number = r->record->number;
    struct state_txn *t = NULL;
    int rc = journal_txn(o->journal, &t, e);

    if (rc == OK)
        rc = state_each(t, STATE_LOG, key_numbers(1, number, 0, 0), false, &log_line__descriptor,
            each_line, r, e);
    for (size_t i = 0; i < r->plan->n_jobs && rc >= OK; i++)
        rc = metric_points_told(&r->jobs[i].next_metric, t, number, i, e);
    return rc < OK ? rc : OK;
}
