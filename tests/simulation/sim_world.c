#include "tests/simulation/sim_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Time, network, faults, and the client. */

#define LOOK_MS 20 /* how often it is asked whether something was reached */

/* ---- chance: splitmix64 ---- */

static uint64_t next_random(struct sim *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

double sim_chance(struct sim *s)
{
    return (double)(next_random(s) >> 11) * 0x1p-53;
}

int64_t sim_between(struct sim *s, int64_t a, int64_t b)
{
    return a + (int64_t)(next_random(s) % (uint64_t)(b - a + 1));
}

struct peer sim_new_peer(struct sim *s)
{
    struct peer p = { .n = 5 };
    uint64_t k = ++s->peers;

    memcpy(p.b + 1, &k, 4);
    return p;
}

static bool same_peer(const struct peer *a, const struct peer *b)
{
    return a->n == b->n && !memcmp(a->b, b->b, a->n);
}

/* ---- what will happen: a heap by (time, sequence) ---- */

static bool sooner(const struct happening *a, const struct happening *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void sim_plan(struct sim *s, struct happening h)
{
    size_t i = s->n_heap++;

    if (i == s->cap_heap) {
        s->cap_heap = s->cap_heap ? 2 * s->cap_heap : 256;
        s->heap = realloc(s->heap, s->cap_heap * sizeof *s->heap);
        assert(s->heap);
    }
    h.seq = ++s->seq;
    for (; i > 0 && sooner(&h, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = h;
}

struct happening sim_take_first(struct sim *s)
{
    struct happening first = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;

    for (size_t k = 1; k < s->n_heap; k = 2 * i + 1) {
        if (k + 1 < s->n_heap && sooner(&s->heap[k + 1], &s->heap[k]))
            k++;
        if (!sooner(&s->heap[k], &last))
            break;
        s->heap[i] = s->heap[k];
        i = k;
    }
    s->heap[i] = last;
    return first;
}

/* ---- the network ---- */

/* What the orchestrator says leaves when its disk has what it says. */
static void transmit(struct sim *s, const struct happening *h, const Envelope *m)
{
    int64_t from = h->kind == AT_WORKER && s->disk_until > s->now ? s->disk_until : s->now;
    bool rough = s->now < s->opts.calm;
    int copies = 1;

    if (rough && sim_chance(s) < s->opts.lost)
        copies = 0;
    else if (rough && sim_chance(s) < s->opts.doubled)
        copies = 2;
    s->tally.messages++;
    s->tally.lost += copies == 0;
    while (copies-- > 0) {
        struct happening one = *h;
        struct err e = ERR_INIT;
        bool late = rough && sim_chance(s) < s->opts.late;
        one.at = from + (late ? sim_between(s, 40, 4000) : sim_between(s, 1, 40));
        if (wire_encode(&one.frame, (Envelope *)m, &e) != OK) {
            fprintf(stderr, "cannot be sent: %s\n", e.msg);
            abort();
        }
        sim_plan(s, one);
    }
}

void sim_post(struct sim *s, struct fake_worker *w, Envelope *m)
{
    struct happening h = { .kind = AT_ORCHESTRATOR, .worker = w ? w->index : -1 };

    if (w && s->now < w->cut_until)
        return;
    h.life = w ? w->life : 0;
    if (w)
        h.peer = w->peer;
    else
        h.peer.n = 1;
    transmit(s, &h, m);
}

static void send_letter(struct sim *s, const struct letter *l)
{
    struct happening h = { .kind = AT_WORKER, .worker = -1, .peer = l->to };
    struct fake_worker *w = NULL;

    for (int i = 0; i < s->opts.workers; i++)
        if (s->workers[i].up && same_peer(&s->workers[i].peer, &l->to))
            w = &s->workers[i];
    check_letter(s, w, l->m);
    if ((!w && l->to.n != 1) || (w && s->now < w->cut_until))
        return;
    if (w) {
        h.worker = w->index;
        h.life = w->life;
    }
    transmit(s, &h, l->m);
}

/* ---- the orchestrator ---- */

static struct now now_of(const struct sim *s)
{
    return (struct now){ s->now, 1700000000000 + s->now };
}

void sim_must(int rc, const struct err *e)
{
    if (rc == OK)
        return;
    fprintf(stderr, "the orchestrator ended: %s\n", e->msg);
    abort();
}

static void crash(struct sim *s)
{
    orchestrator_close(s->o);
    s->o = NULL;
    s->crashes = false;
    s->disk_until = 0;
    s->tally.orchestrator_deaths++;
    sim_plan(s, (struct happening){ .at = s->now + s->down_ms, .kind = ORCHESTRATOR_STARTS });
}

/* False: it failed, and with it the orchestrator. */
static bool commit(struct sim *s)
{
    struct err e = ERR_INIT;
    int rc = orchestrator_commit(s->o, &e);

    if (rc == E_IO) {
        s->tally.journal_failures++;
        s->down_ms = sim_between(s, 50, 5000);
        crash(s);
        return false;
    }
    sim_must(rc, &e);
    if (s->now < s->opts.calm && sim_chance(s) < s->opts.disk_slow)
        s->disk_until = s->now + sim_between(s, 10, 5000);
    return true;
}

void sim_end_turn(struct sim *s)
{
    struct outbox *out = orchestrator_outbox(s->o);
    struct err e = ERR_INIT;

    sim_must(orchestrator_tick(s->o, now_of(s), &e), &e);
    sched_check(orchestrator_sched(s->o));
    if (s->crashes) {
        crash(s);
        return;
    }
    if (!commit(s))
        return;
    check_commit(s);
    for (size_t i = 0; i < out->n_letters; i++)
        send_letter(s, &out->letters[i]);
    for (size_t i = 0; i < out->n_notices; i++) {
        assert(
            buf_printf(&s->told, "%8.3f %s\n", (double)s->now / 1000, out->notices[i].text) == OK);
        if (s->trace)
            fprintf(stderr, "%8.3f %s\n", (double)s->now / 1000, out->notices[i].text);
    }
    outbox_clear(out);
    s->tick_at = s->now + orchestrator_wait_ms(s->o, s->now);
    if (s->tick_at < s->disk_until)
        s->tick_at = s->disk_until;
}

void sim_orchestrator_starts(struct sim *s)
{
    struct err e = ERR_INIT;

    int rc = orchestrator_open(&s->o, "simulated", now_of(s), &e);

    if (rc == E_IO) { /* its epoch could not be raised */
        s->o = NULL;
        s->tally.journal_failures++;
        sim_plan(s, (struct happening){ .at = s->now + SECOND, .kind = ORCHESTRATOR_STARTS });
        return;
    }
    sim_must(rc, &e);
    for (int i = 0; i < s->opts.workers; i++)
        s->workers[i].peer = sim_new_peer(s); /* a new ROUTER knows nobody */
    sim_end_turn(s);
}

/* ---- the client ---- */

void sim_client_asks(struct sim *s)
{
    Envelope m = ENVELOPE__INIT;
    int wanted = s->opts.runs ? s->opts.runs : 1;

    if (s->submitted >= wanted)
        return;
    if (!s->asked_at || s->now - s->asked_at > 5 * SECOND) {
        m.has_request = true;
        m.request = (uint64_t)s->submitted + 1;
        m.kind_case = ENVELOPE__KIND_SUBMIT;
        m.submit = s->submit;
        s->asked_at = s->now;
        sim_post(s, NULL, &m);
    }
    sim_plan(s, (struct happening){ .at = s->now + 1500, .kind = CLIENT_ASKS });
}

static void client_hears(struct sim *s, const Envelope *m)
{
    if (m->kind_case != ENVELOPE__KIND_SUBMITTED) {
        assert(m->kind_case == ENVELOPE__KIND_DONE);
        return;
    }
    if (m->request == (uint64_t)s->submitted + 1) {
        s->submitted++;
        s->asked_at = 0;
    }
}

/* ---- faults, once a second ---- */

static void fault(struct sim *s, struct fake_worker *w)
{
    const struct sim_opts *o = &s->opts;

    if (!w->up)
        return;
    if (sim_chance(s) < o->babble)
        worker_babbles(s, w);
    if (sim_chance(s) < o->worker_dies + o->worker_leaves) {
        s->tally.worker_deaths++;
        worker_stop(s, w, sim_chance(s) * (o->worker_dies + o->worker_leaves) >= o->worker_dies);
        sim_plan(s, (struct happening){ .at = s->now + sim_between(s, 100, 20000),
                        .kind = WORKER_STARTS,
                        .worker = w->index,
                        .life = w->life });
    } else if (sim_chance(s) < o->worker_stalls) {
        s->tally.stalls++;
        w->stalled_until = s->now + sim_between(s, 500, 40000);
    } else if (sim_chance(s) < o->worker_is_cut_off) {
        s->tally.cuts++;
        w->cut_until = s->now + sim_between(s, 500, 30000);
        if (sim_chance(s) < 0.5)
            w->peer = sim_new_peer(s); /* it comes back over a new connection */
    }
}

static void split(struct sim *s)
{
    int64_t until = s->now + sim_between(s, 500, 40000);

    for (int i = 0; i < s->opts.workers; i++)
        if (s->workers[i].up && sim_chance(s) < 0.5) {
            s->tally.cuts++;
            s->workers[i].cut_until = until;
        }
}

static void faults(struct sim *s)
{
    if (s->now >= s->opts.calm)
        return;
    for (int i = 0; i < s->opts.workers; i++)
        fault(s, &s->workers[i]);
    if (sim_chance(s) < s->opts.network_splits)
        split(s);
    if (s->o && sim_chance(s) < s->opts.journal_fails)
        disk_fail();
    if (s->o && sim_chance(s) < s->opts.orchestrator_dies) {
        s->crashes = true;
        s->down_ms = sim_between(s, 50, 20000);
    }
    sim_plan(s, (struct happening){ .at = s->now + SECOND, .kind = FAULTS });
}

/* ---- time ---- */

static bool reaches_orchestrator(struct sim *s, struct happening *h)
{
    struct fake_worker *w = h->worker >= 0 ? &s->workers[h->worker] : NULL;
    struct err e = ERR_INIT;
    Envelope *m = NULL;

    if (s->o && s->now < s->disk_until) {
        h->at = s->disk_until;
        sim_plan(s, *h);
        h->frame = (struct buf){ 0 };
        return false;
    }
    if (!s->o) { /* a DEALER keeps what it cannot deliver; some was on the way and is lost */
        if (sim_chance(s) < 0.5) {
            h->at = s->now + 200;
            sim_plan(s, *h);
            h->frame = (struct buf){ 0 };
        }
        return false;
    }
    if (w && w->life == h->life)
        h->peer = w->peer;
    sim_must(wire_decode(&m, h->frame.p, h->frame.n, &e), &e);
    sim_must(orchestrator_receive(s->o, &h->peer, m, now_of(s), &e), &e);
    message_free(m);
    return true;
}

static void reaches_worker(struct sim *s, const struct happening *h)
{
    struct fake_worker *w = h->worker >= 0 ? &s->workers[h->worker] : NULL;
    struct err e = ERR_INIT;
    Envelope *m = NULL;

    if (w && (!w->up || !same_peer(&w->peer, &h->peer) || s->now < w->cut_until))
        return;
    sim_must(wire_decode(&m, h->frame.p, h->frame.n, &e), &e);
    if (w)
        worker_hears(s, w, m);
    else
        client_hears(s, m);
    message_free(m);
}

/* A stopped process does everything late, in its order, and does not know it. */
static bool is_stalled(struct sim *s, struct happening *h)
{
    const struct fake_worker *w = h->worker >= 0 ? &s->workers[h->worker] : NULL;
    bool its_own = h->kind == AT_WORKER || h->kind == BEAT || h->kind == ATTEMPT_ENDS;

    if (!w || !its_own || !w->up || s->now >= w->stalled_until)
        return false;
    h->at = w->stalled_until;
    sim_plan(s, *h);
    return true;
}

/* Whether the orchestrator has something to do now. */
static bool happens(struct sim *s, struct happening *h)
{
    struct fake_worker *w = h->worker >= 0 ? &s->workers[h->worker] : NULL;
    bool turn = false;

    if (is_stalled(s, h))
        return false;
    switch (h->kind) {
    case AT_ORCHESTRATOR:
        turn = reaches_orchestrator(s, h);
        break;
    case AT_WORKER:
        reaches_worker(s, h);
        break;
    case BEAT:
        if (w->up && w->life == h->life)
            worker_beat(s, w);
        break;
    case ATTEMPT_ENDS:
        if (w->up && w->life == h->life)
            worker_ends(s, w, &h->ref);
        break;
    case WORKER_STARTS:
        if (!w->up && w->life == h->life)
            worker_start(s, w);
        break;
    case ORCHESTRATOR_STARTS:
        sim_orchestrator_starts(s);
        break;
    case CLIENT_ASKS:
        sim_client_asks(s);
        break;
    case FAULTS:
        faults(s);
        break;
    }
    buf_free(&h->frame);
    return turn;
}

/* Everything of the next moment at which something happens, at most until `limit`. */
static void step(struct sim *s, int64_t limit)
{
    int64_t at = s->n_heap ? s->heap[0].at : limit;
    bool turn = false;

    if (s->o && s->tick_at < at)
        at = s->tick_at;
    if (at > limit) {
        s->now = limit;
        return;
    }
    s->now = at > s->now ? at : s->now;
    while (s->n_heap && s->heap[0].at <= s->now) {
        struct happening h = sim_take_first(s);
        turn = happens(s, &h) || turn;
    }
    if (s->o && (turn || s->crashes || s->tick_at <= s->now))
        sim_end_turn(s);
}

void sim_run(struct sim *s, int64_t ms)
{
    int64_t limit = s->now + ms;

    while (s->now < limit)
        step(s, limit);
}

bool sim_run_until(
    struct sim *s, int64_t ms, bool (*reached)(struct sim *s, const void *what), const void *what)
{
    int64_t limit = s->now + ms;

    while (s->now < limit) {
        sim_run(s, limit - s->now < LOOK_MS ? limit - s->now : LOOK_MS);
        if (reached(s, what))
            return true;
    }
    return reached(s, what);
}
