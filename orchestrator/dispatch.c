#include "orchestrator/scheduler.h"

#include <assert.h>
#include <stdlib.h>

#include "orchestrator/scheduler_int.h"

/* Who gets what: the first ready task in order goes to the best session with room. Tasks that need
 * the same stand in one lane, sessions that offer the same are one kin, so that only the first of
 * each is looked at. */

static bool has_tag(const struct tags *tags, uint32_t tag)
{
    for (size_t i = 0; i < tags->n; i++)
        if (tags->items[i] == tag)
            return true;
    return false;
}

/* The first thing that k lacks for a task of this lane: WHY_NOT when it lacks nothing. */
static struct why lacks(const struct kin *k, const struct lane *l)
{
    for (size_t i = 0; i < l->labels.n; i++)
        if (!has_tag(&k->tags, l->labels.items[i]))
            return (struct why){ .what = WHY_TAG, .tag = l->labels.items[i] };
    if (l->class_tag && !has_tag(&k->tags, l->class_tag))
        return (struct why){ .what = WHY_TAG, .tag = l->class_tag };
    if (k->threads > 0 && k->threads < l->threads)
        return (struct why){ .what = WHY_THREADS, .most = k->threads };
    if (k->memory > 0 && k->memory < l->memory)
        return (struct why){ .what = WHY_MEMORY, .most = k->memory };
    return (struct why){ .what = WHY_NOT };
}

/* Tasks are given ahead as far as such were quick here; behind a long one at most one brief. */
static bool has_room(const struct worker *w, bool brief)
{
    uint32_t most = w->credit[brief];

    if (brief && w->held_long > 0 && most > 2)
        most = 2;
    return w->state == SESSION_LIVE && !w->draining && w->held < most;
}

bool is_behind(const struct worker *w)
{
    return w->held_long > 0 && w->held > 1;
}

/* Another than w is to take tasks of this lane, and there is one, busy or not. */
static bool is_for_another(const struct sched *s, const struct lane *l, const struct worker *w)
{
    const struct worker *other = l->apart && l->apart == w->who ? s->workers.first : NULL;

    while (other && (other->who == l->apart || other->state == SESSION_NEW || other->draining ||
                        lacks(other->kin, l).what != WHY_NOT))
        other = other->next;
    return other != NULL;
}

bool worker_can_take(const struct sched *s, const struct worker *w, const struct task *t)
{
    return has_room(w, t->lane->brief) && !w->kept && lacks(w->kin, t->lane).what == WHY_NOT &&
           !is_for_another(s, t->lane, w);
}

static bool task_is_paused(const struct task *t)
{
    for (size_t i = 0; i < t->n_waiters; i++)
        if (!t->waiters[i].job->paused)
            return false;
    return true;
}

bool task_waits(const struct task *t)
{
    return t->awaited || task_is_paused(t);
}

/* ---- lanes and kins ---- */

static bool task_goes_before(const struct ranked *x, const struct ranked *y)
{
    const struct rank *a = &((const struct task *)x)->rank, *b = &((const struct task *)y)->rank;

    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->run != b->run)
        return a->run < b->run;
    if (a->audit != b->audit)
        return b->audit;
    return a->job != b->job ? a->job < b->job : a->place < b->place;
}

static bool worker_is_emptier(const struct ranked *x, const struct ranked *y)
{
    const struct worker *a = ((const struct seat *)x)->worker;
    const struct worker *b = ((const struct seat *)y)->worker;

    return a->held != b->held ? a->held < b->held : a->serial < b->serial;
}

static struct lane *lane_find(struct sched *s, const struct task *t, const struct task_spec *spec)
{
    const struct job *j = t->waiters[0].job;
    struct lane *l = s->lanes;

    while (l && (l->brief != spec->brief || l->class_tag != spec->class_tag ||
                    l->apart != spec->apart || l->memory != j->memory || l->threads != j->threads ||
                    !tags_equal(&l->labels, &j->labels)))
        l = l->next;
    return l;
}

static void lane_free(struct lane *l)
{
    heap_free(&l->ready);
    free(l->labels.items);
    free(l);
}

static struct lane *lane_new(
    struct sched *s, const struct task *t, const struct task_spec *spec, struct err *e)
{
    const struct job *j = t->waiters[0].job;
    struct lane *l = calloc(1, sizeof *l);

    if (!l || tags_copy(&l->labels, &j->labels, e) != OK) {
        free(l);
        err_set(e, E_NOMEM, "out of memory");
        return NULL;
    }
    l->memory = j->memory;
    l->threads = j->threads;
    l->class_tag = spec->class_tag;
    l->apart = spec->apart;
    l->brief = spec->brief;
    l->ready.before = task_goes_before;
    l->next = s->lanes;
    s->lanes = l;
    return l;
}

static void lane_drop(struct sched *s, struct lane *l)
{
    struct lane **at = &s->lanes;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    lane_free(l);
}

int lane_join(struct sched *s, struct task *t, const struct task_spec *spec, struct err *e)
{
    struct lane *l = lane_find(s, t, spec);

    if (!l)
        l = lane_new(s, t, spec, e);
    if (!l)
        return e->code;
    if (heap_reserve(&l->ready, l->n_tasks + 1, e) != OK) {
        if (l->n_tasks == 0)
            lane_drop(s, l);
        return e->code;
    }
    l->n_tasks++;
    t->lane = l;
    return OK;
}

void lane_leave(struct sched *s, struct task *t)
{
    if (t->ranked.at > 0)
        heap_take(t->state == TASK_BACKING_OFF ? &s->backing_off : &t->lane->ready, &t->ranked);
    if (--t->lane->n_tasks == 0)
        lane_drop(s, t->lane);
    t->lane = NULL;
}

int kin_join(struct sched *s, struct worker *w, const struct worker_spec *spec, struct err *e)
{
    struct kin *k = s->kins;

    while (k && (k->memory != spec->memory || k->threads != spec->threads ||
                    !tags_equal(&k->tags, &spec->tags)))
        k = k->next;
    if (!k) {
        k = calloc(1, sizeof *k);
        if (!k || tags_copy(&k->tags, &spec->tags, e) != OK) {
            free(k);
            return err_set(e, E_NOMEM, "out of memory");
        }
        k->memory = spec->memory;
        k->threads = spec->threads;
        k->free[false].before = k->free[true].before = worker_is_emptier;
        k->next = s->kins;
        s->kins = k;
    }
    w->kin = k;
    w->seats[false].worker = w->seats[true].worker = w;
    k->n_workers++;
    if (heap_reserve(&k->free[false], k->n_workers, e) == OK &&
        heap_reserve(&k->free[true], k->n_workers, e) == OK)
        return OK;
    kin_leave(s, w);
    return e->code;
}

void kin_leave(struct sched *s, struct worker *w)
{
    struct kin *k = w->kin, **at = &s->kins;

    for (int brief = 0; brief < 2; brief++)
        if (w->seats[brief].ranked.at > 0)
            heap_take(&k->free[brief], &w->seats[brief].ranked);
    w->kin = NULL;
    if (--k->n_workers > 0)
        return;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    heap_free(&k->free[false]);
    heap_free(&k->free[true]);
    free(k->tags.items);
    free(k);
}

static void place(struct heap *h, struct ranked *r, bool belongs)
{
    if (belongs && r->at > 0)
        heap_moved(h, r);
    else if (belongs)
        heap_put(h, r);
    else if (r->at > 0)
        heap_take(h, r);
}

void task_place(struct sched *s, struct task *t)
{
    if (t->state == TASK_READY)
        s->due = true;
    if (t->state != TASK_BACKING_OFF)
        place(&t->lane->ready, &t->ranked, t->state == TASK_READY && !task_waits(t));
}

void worker_place(struct sched *s, struct worker *w)
{
    (void)s;
    for (int brief = 0; brief < 2; brief++)
        place(&w->kin->free[brief], &w->seats[brief].ranked, has_room(w, brief) && !w->kept);
}

/* ---- giving ---- */

/* Where the job's state may be in memory; for its first task, where what it needs was made and so
 * lies in the store, if that one is free. */
static struct worker *warm_for(const struct task *t)
{
    const struct job *j = t->waiters[0].job;

    if (t->waiters[0].audit || j->warm)
        return t->waiters[0].audit ? NULL : j->warm;
    for (size_t i = j->n_after; i-- > 0;) {
        struct worker *near = j->run->jobs[j->after[i]].warm;
        if (near && near->held == 0)
            return near;
    }
    return NULL;
}

/* Not where it failed; then where it is warm; then the emptiest; then the oldest. */
static bool better(const struct worker *a, const struct worker *b, const struct task *t)
{
    const struct worker *warm = warm_for(t);

    if ((a->serial == t->avoid) != (b->serial == t->avoid))
        return b->serial == t->avoid;
    if ((a == warm) != (b == warm))
        return a == warm;
    return a->held != b->held ? a->held < b->held : a->serial < b->serial;
}

/* The emptiest of k with room; NULL: none. */
static struct worker *emptiest(const struct kin *k, bool brief)
{
    const struct ranked *first = heap_first(&k->free[brief]);

    return first ? ((const struct seat *)first)->worker : NULL;
}

static struct worker *best_for(const struct sched *s, const struct task *t)
{
    struct worker *best = NULL, *warm = warm_for(t);

    if (warm && worker_can_take(s, warm, t))
        best = warm;
    for (struct kin *k = s->kins; k; k = k->next) {
        /* The second where the first is the one to avoid. */
        const struct heap *free = &k->free[t->lane->brief];
        const struct ranked *two[] = { heap_first(free), heap_second(free) };
        if (!two[0] || lacks(k, t->lane).what != WHY_NOT)
            continue;
        for (int i = 0; i < 2 && two[i]; i++) {
            struct worker *w = ((const struct seat *)two[i])->worker;
            if (!is_for_another(s, t->lane, w) && (!best || better(w, best, t)))
                best = w;
        }
    }
    return best;
}

/* Long tasks wait, and brief ones must not take every place that becomes free meanwhile: as many
 * sessions, the emptiest, get nothing until they are empty. */
static void keep_free(struct sched *s, const struct lane *l)
{
    for (size_t wanted = l->ready.n; wanted > 0; wanted--) {
        struct worker *best = NULL;
        for (struct kin *k = s->kins; k; k = k->next) {
            struct worker *w = emptiest(k, true);
            if (w && lacks(k, l).what == WHY_NOT &&
                (!best || worker_is_emptier(&w->seats[0].ranked, &best->seats[0].ranked)))
                best = w;
        }
        if (!best)
            return;
        best->kept = true;
        best->kept_next = s->kept;
        s->kept = best;
        worker_place(s, best);
    }
}

static void forget_kept(struct sched *s)
{
    while (s->kept) {
        struct worker *w = s->kept;
        s->kept = w->kept_next;
        w->kept = false;
        worker_place(s, w);
    }
}

static struct lane *next_lane(const struct sched *s)
{
    struct lane *next = NULL;

    for (struct lane *l = s->lanes; l; l = l->next)
        if (!l->closed && l->ready.n > 0 &&
            (!next || task_goes_before(heap_first(&l->ready), heap_first(&next->ready))))
            next = l;
    return next;
}

void credit_reset(struct worker *w)
{
    for (int brief = 0; brief < 2; brief++)
        if (w->credit_most >= w->credit[brief])
            w->credit[brief] = 1;
}

/* Somebody has nothing to do, and a task waits behind another that was thought to be quick. */
void take_back(struct sched *s, int64_t now)
{
    size_t idle = 0;

    for (struct kin *k = s->kins; s->n_behind > 0 && k; k = k->next) {
        const struct worker *w = emptiest(k, true);
        idle += w && w->held == 0;
    }
    for (struct worker *w = s->workers.first, *next; idle > 0 && w; w = next) {
        next = w->next;
        struct task *last = w->held_last;
        if (!is_behind(w) || now - w->held_first->given_ms < 2 * AHEAD_MS)
            continue;
        struct action *a = sched_act(s, ACT_REVOKE);
        a->worker = w;
        a->ref = last->lease;
        credit_reset(w);
        task_give_back(s, last);
        idle--;
    }
}

void dispatch(struct sched *s, int64_t now)
{
    forget_kept(s);
    for (struct lane *l = s->lanes; l; l = l->next)
        l->closed = false;
    for (struct lane *l; (l = next_lane(s));) {
        struct task *t = (struct task *)heap_first(&l->ready);
        struct worker *best = best_for(s, t);
        if (!best) {
            l->closed = true;
            if (!l->brief && !l->apart)
                keep_free(s, l);
            continue;
        }
        struct ref ref = { t->id, t->last_attempt + 1, s->epoch };
        task_lease(s, t, best, &ref, now);
        struct action *a = sched_act(s, ACT_ASSIGN);
        a->worker = best;
        a->task = t;
        a->ref = ref;
    }
}

/* ---- why not ---- */

static struct why why_task(const struct sched *s, const struct task *t)
{
    struct why why = { .what = WHY_NO_WORKER };

    for (const struct worker *w = s->workers.first; w; w = w->next) {
        struct why l = lacks(w->kin, t->lane);
        if (w->state == SESSION_NEW)
            continue;
        if (l.what == WHY_NOT && !w->draining && w->state != SESSION_SUSPECT)
            return (struct why){ .what = WHY_BUSY };
        if (l.what == WHY_NOT)
            l.what = w->draining ? WHY_DRAINING : WHY_SILENT;
        /* The nearest miss says most: what lacks() looks at later, and then the largest. */
        if (l.what > why.what || (l.what == why.what && l.most > why.most))
            why = l;
    }
    return why;
}

static const struct task *ready_task(const struct job *job)
{
    for (uint32_t i = 0; i < job->open + job->audits; i++)
        if (job->tasks[i]->state == TASK_READY)
            return job->tasks[i];
    return NULL;
}

struct why sched_why_not(const struct job *job, const struct worker *w)
{
    const struct task *t = ready_task(job);
    struct why why = t ? lacks(w->kin, t->lane) : (struct why){ .what = WHY_NOT };

    if (why.what == WHY_NOT && w->draining)
        why.what = WHY_DRAINING;
    return why;
}

/* Of what is leased: something may be run, or it waits behind other tasks, or nobody is heard of.
 */
static struct why why_leased(const struct job *job)
{
    struct why why = { .what = WHY_NOT };

    for (uint32_t i = 0; i < job->open + job->audits; i++) {
        const struct task *t = job->tasks[i];
        bool silent = t->state == TASK_LEASED && t->holder->state == SESSION_SUSPECT;
        if (t->state != TASK_LEASED || (silent && why.what != WHY_NOT))
            continue;
        if (!silent && t->holder->held_first == t)
            return (struct why){ .what = WHY_NOT };
        why.what = silent ? WHY_SILENT : WHY_BEHIND;
        why.first = silent ? t : t->holder->held_first;
    }
    return why;
}

struct why sched_why(const struct sched *s, const struct job *job)
{
    const struct task *ready = ready_task(job), *next = NULL;

    if (job->paused)
        return (struct why){ .what = WHY_PAUSED };
    if (job->leased > 0)
        return why_leased(job);
    if (ready)
        return why_task(s, ready);
    for (uint32_t i = 0; i < job->open + job->audits; i++)
        if (job->tasks[i]->state == TASK_BACKING_OFF &&
            (!next || job->tasks[i]->not_before < next->not_before))
            next = job->tasks[i];
    if (!next)
        return (struct why){ .what = WHY_NOT };
    return (struct why){ .what = WHY_BACKOFF, .cause = next->cause, .until_ms = next->not_before };
}
