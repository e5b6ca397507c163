#include "tests/simulation/sim_int.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/runs.h"
#include "proto/task.h"

/* What must hold whatever happens, as it is seen from outside. */

/* Artifacts that workers have made; durable: a committed answer names it. */
#define PLACES 16384 /* a power of two */
static struct {
    struct id id;
    bool made, durable;
} artifacts[PLACES];
static size_t used[PLACES], n_used;

static void violated(const struct sim *s, const char *fmt, ...)
{
    va_list ap;

    fprintf(
        stderr, "seed %llu, at %.3f s: ", (unsigned long long)s->opts.seed, (double)s->now / 1000);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    abort();
}

void check_wipe(void)
{
    for (; n_used > 0; n_used--)
        artifacts[used[n_used - 1]].made = artifacts[used[n_used - 1]].durable = false;
}

static size_t place_of(const struct id *id)
{
    uint64_t h;

    memcpy(&h, id->b, sizeof h);
    size_t i = h & (PLACES - 1);
    while (artifacts[i].made && !id_equal(&artifacts[i].id, id))
        i = (i + 1) & (PLACES - 1);
    return i;
}

void check_made(const struct id *artifact)
{
    size_t i = place_of(artifact);

    if (artifacts[i].made)
        return;
    assert(n_used < PLACES / 2);
    artifacts[i].id = *artifact;
    artifacts[i].made = true;
    used[n_used++] = i;
}

/* ---- nothing is visible before it is durable ---- */

static void check_ack(struct sim *s, const struct fake_worker *w, const AttemptRef *a)
{
    struct id id;

    for (size_t k = 0; w && k < w->n_finished; k++) {
        const Result *r = w->finished[k];
        assert(id_from_span(&id, r->attempt->task.data, r->attempt->task.len));
        if (r->kind_case == RESULT__KIND_ANSWER && r->attempt->attempt == a->attempt &&
            r->attempt->epoch == a->epoch && !memcmp(a->task.data, id.b, sizeof id.b) &&
            store_has(NULL, (const struct id *)r->answer->outputs[0]->id.data) && !s->cancelled &&
            !disk_has(STATE_ANSWER, key_id(&id)) &&
            !sched_task(s->o->sched, &id) &&  /* open: the attempt was stale, its answer fenced */
            id_set_find(&s->audits, &id) < 0) /* of an audit nothing is kept */
            violated(s, "a result was acknowledged that is not durable");
    }
}

static void check_inputs(struct sim *s, const TaskSpec *spec)
{
    struct id id;

    for (size_t i = 0; i < spec->n_inputs; i++) {
        assert(id_from_span(&id, spec->inputs[i]->id.data, spec->inputs[i]->id.len));
        size_t at = place_of(&id);
        if (artifacts[at].made && !artifacts[at].durable)
            violated(s, "a task was given away whose input '%s' no durable answer names",
                spec->inputs[i]->name);
    }
}

void check_letter(struct sim *s, const struct fake_worker *w, const Envelope *m)
{
    if (m->kind_case == ENVELOPE__KIND_SUBMITTED && (int)disk_count(STATE_RUN) <= s->submitted)
        violated(s, "a run was acknowledged that is not durable");
    for (size_t i = 0; m->kind_case == ENVELOPE__KIND_RESULT_ACK && i < m->result_ack->n_attempts;
         i++)
        check_ack(s, w, m->result_ack->attempts[i]);
    for (size_t i = 0; m->kind_case == ENVELOPE__KIND_ASSIGN && i < m->assign->n_assignments; i++)
        check_inputs(s, m->assign->assignments[i]->spec);
}

/* ---- a committed answer is what its spec hashes to ---- */

static void check_row(void *ctx, enum state_table table, struct state_key key, struct span row)
{
    struct sim *s = ctx;
    ProtobufCMessage *m = NULL;
    struct err e = ERR_INIT;
    struct id task, want;

    if (table != STATE_ANSWER)
        return;
    sim_must(message_unpack(&m, &task_answer__descriptor, row.p, row.n, &e), &e);
    const TaskAnswer *a = (const TaskAnswer *)m;
    assert(id_from_span(&task, key.b, key.n));
    for (size_t i = 0; i < a->n_outputs; i++) {
        pretended_id(&want, &task, a->outputs[i]->name);
        if (!s->lied && !s->opts.liar && memcmp(a->outputs[i]->id.data, want.b, sizeof want.b))
            violated(s, "the answer that was committed is another task's");
        size_t at = place_of(&want);
        artifacts[at].durable = artifacts[at].made;
    }
    message_free(m);
}

void check_commit(struct sim *s)
{
    disk_changed(check_row, s);
}

/* ---- at most one live lease ---- */

/* Whoever was out of touch may not have heard yet that its attempt was given to another, and a late
 * Hello of its former life may have ended the session of one that has just started; an assignment
 * may come after it was taken back. What they still do is fenced. */
#define HEARS_MS 20000

static bool in_touch(const struct sim *s, const struct fake_worker *w)
{
    return w->up && w->welcome && s->opts.lost == 0 && s->opts.late == 0 &&
           s->now >= w->cut_until + HEARS_MS && s->now >= w->stalled_until + HEARS_MS;
}

/* A restarted orchestrator gives brief tasks away at once: those of its own epoch count. */
void check_begin(struct sim *s, const struct fake_worker *w, const struct held *h)
{
    struct err e = ERR_INIT;
    struct id id;

    assert(message_id(&id, &h->spec->base, &e) == OK);
    if (!id_equal(&id, &h->ref.task) && id_set_find(&s->audits, &h->ref.task) < 0)
        violated(s, "a task was given away under another name than its spec's hash");
    for (int i = 0; i < s->opts.workers && in_touch(s, w); i++) {
        const struct fake_worker *other = &s->workers[i];
        const struct held *its = &other->held[0];
        if (other != w && in_touch(s, other) && other->n_held > 0 && its->begun &&
            its->ref.epoch == h->ref.epoch && id_equal(&its->ref.task, &h->ref.task))
            violated(s, "w%d begins attempt %u of what w%d does as attempt %u", w->index + 1,
                h->ref.attempt, i + 1, its->ref.attempt);
    }
}
