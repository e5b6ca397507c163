#include "workers/worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "proto/socket.h"
#include "proto/task.h"
#include "store/store.h"
#include "workers/math/engine.h"
#include "workers/tasks/memory.h"
#include "workers/worker_int.h"

/* INVARIANTS
 * (1) At most one attempt runs; further assignments wait in `queue`. The executor has the first of
 *     them in its socket, so that it never waits for the next one.
 * (2) A result is kept in `finished` and told in every Hello until it is acknowledged.
 * (3) Cut off for longer than the deadline (shorter than the orchestrator's patience), the worker
 *     has stopped its executor before the orchestrator gives the task away. An orchestrator that
 *     is not there gives nothing away, and adopts what runs when it is back: that is no cut. */

#define HELLO_MS 1000
#define PATIENCE_MS 5000 /* without an answer: people are told */

void worker_post(struct worker *w, Envelope *m)
{
    struct err e = ERR_INIT;

    if (socket_send(w->socket, NULL, m, &e) != OK)
        log_debug("not sent: %s", e.msg); /* the orchestrator is away: a Hello tells all later */
}

/* ---- what the orchestrator is told ---- */

/* What runs and what waits to run. */
static size_t inventory(const struct worker *w, AttemptRef *out[1 + QUEUE_MAX])
{
    size_t n = 0;

    if (w->running && !w->revoked)
        out[n++] = w->running->attempt;
    for (size_t i = 0; i < w->n_queue; i++)
        if (!w->queue[i].revoked)
            out[n++] = w->queue[i].a->attempt;
    return n;
}

static void say_hello(struct worker *w)
{
    Envelope m = ENVELOPE__INIT;
    Hello h = HELLO__INIT;
    AttemptRef *running[1 + QUEUE_MAX];
    size_t classes = 0;

    while (numeric_classes()[classes])
        classes++;
    h.worker = w->id;
    h.name = (char *)(uintptr_t)w->o->name;
    h.host = w->host;
    h.has_pid = h.has_cores = h.has_threads = h.has_memory = h.has_store = h.has_engine = true;
    h.pid = (uint32_t)getpid();
    h.cores = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    h.threads = (uint32_t)w->threads;
    h.memory = memory_limit("");
    h.labels = (char **)(uintptr_t)w->o->labels;
    h.n_labels = w->o->n_labels;
    h.numeric_classes = (char **)(uintptr_t)numeric_classes();
    h.n_numeric_classes = classes;
    h.store = (ProtobufCBinaryData){ sizeof w->store.b, w->store.b };
    h.engine = ENGINE_VERSION;
    h.has_draining = h.draining = w->draining;
    h.running = running;
    h.n_running = inventory(w, running);
    h.finished = w->finished;
    h.n_finished = w->n_finished;
    m.kind_case = ENVELOPE__KIND_HELLO;
    m.hello = &h;
    worker_post(w, &m);
}

static void beat(struct worker *w)
{
    Envelope m = ENVELOPE__INIT;
    Heartbeat h = HEARTBEAT__INIT;
    AttemptRef *running[1 + QUEUE_MAX];

    h.running = running;
    h.n_running = inventory(w, running);
    h.has_executor_memory = w->child != NULL;
    h.executor_memory = w->child ? child_memory(w->child) : 0;
    m.kind_case = ENVELOPE__KIND_HEARTBEAT;
    m.heartbeat = &h;
    worker_post(w, &m);
}

void worker_send_lines(struct worker *w)
{
    Envelope m = ENVELOPE__INIT;
    LogLines l = LOG_LINES__INIT;

    if (w->n_lines && w->running) {
        l.attempt = w->running->attempt;
        l.lines = w->lines;
        l.n_lines = w->n_lines;
        m.kind_case = ENVELOPE__KIND_LOG_LINES;
        m.log_lines = &l;
        worker_post(w, &m);
    }
    for (size_t i = 0; i < w->n_lines; i++)
        free(w->lines[i]);
    w->n_lines = 0;
}

static void take_line(void *ctx, const char *text)
{
    struct worker *w = ctx;
    char *copy = strdup(text);

    if (w->n_lines == LINES_MAX)
        worker_send_lines(w);
    if (copy)
        w->lines[w->n_lines++] = copy;
}

/* ---- what the orchestrator says ---- */

static void drop_all(struct worker *w)
{
    if (w->running)
        attempt_stop(w);
    while (w->n_queue)
        message_free(w->queue[--w->n_queue].a);
    w->n_sent = 0;
}

/* Another store than the orchestrator's: chunks must travel. */
static void get_courier(struct worker *w, const Welcome *m)
{
    struct courier_options o = { w->o->home, w->o->connect, m->bulk_port,
        *w->keys.secret ? &w->keys : NULL, w->o->cache_bytes };
    struct err e = ERR_INIT;
    struct id store;

    if (w->courier || !id_from_span(&store, m->store.data, m->store.len) ||
        id_equal(&store, &w->store))
        return;
    if (courier_new(&w->courier, &o, &e) != OK) {
        log_error("no way to the orchestrator's store: %s", e.msg);
        w->stop = true;
    }
}

static void on_welcome(struct worker *w, Envelope *m)
{
    get_courier(w, m->welcome);
    if (!w->welcome)
        log_info("connected to %s", w->o->connect);
    w->welcome = true;
    w->held_alone = false;
    w->knocking = 0;
    w->beat_ms = m->welcome->heartbeat_ms;
    w->deadline_ms = m->welcome->deadline_ms;
}

static void on_assign(struct worker *w, Envelope *m)
{
    Assign *a = m->assign;

    for (size_t i = 0; i < a->n_assignments; i++) {
        if (w->n_queue == QUEUE_MAX) {
            log_warn("more than %d assignments: the rest is left to time out", QUEUE_MAX);
            break;
        }
        w->queue[w->n_queue++] = (struct waiting){ a->assignments[i], false };
        a->assignments[i] = NULL; /* taken */
    }
    size_t kept = 0;
    for (size_t i = 0; i < a->n_assignments; i++)
        if (a->assignments[i])
            a->assignments[kept++] = a->assignments[i];
    a->n_assignments = kept;
}

static void revoke_waiting(struct worker *w, const AttemptRef *a)
{
    for (size_t k = 0; k < w->n_queue; k++) {
        if (w->queue[k].revoked || !attempt_is(w->queue[k].a->attempt, a))
            continue;
        w->queue[k].revoked = true;
        if (k < w->n_sent)
            return; /* it comes back as an outcome */
        message_free(w->queue[k].a);
        memmove(w->queue + k, w->queue + k + 1, (--w->n_queue - k) * sizeof *w->queue);
        return;
    }
}

static void on_revoke(struct worker *w, Envelope *m)
{
    for (size_t i = 0; i < m->revoke->n_attempts; i++) {
        const AttemptRef *a = m->revoke->attempts[i];
        if (w->running && !w->revoked && attempt_is(w->running->attempt, a))
            attempt_stop(w);
        else
            revoke_waiting(w, a);
    }
}

static void on_result_ack(struct worker *w, Envelope *m)
{
    for (size_t i = 0; i < m->result_ack->n_attempts; i++)
        for (size_t k = 0; k < w->n_finished; k++)
            if (attempt_is(w->finished[k]->attempt, m->result_ack->attempts[i])) {
                message_free(w->finished[k]);
                w->finished[k] = w->finished[--w->n_finished];
                break;
            }
}

static void on_challenge(struct worker *w, Envelope *m)
{
    (void)m;
    say_hello(w);
}

static void on_ack(struct worker *w, Envelope *m)
{
    (void)w;
    (void)m; /* any traffic counts as a sign of life */
}

static void on_drain(struct worker *w, Envelope *m)
{
    (void)m;
    w->draining = true;
}

static void on_refused(struct worker *w, Envelope *m)
{
    log_error("refused by the orchestrator: %s", m->refused->message);
    w->stop = true;
}

static const struct {
    Envelope__KindCase kind;
    void (*act)(struct worker *w, Envelope *m);
} verbs[] = {
    { ENVELOPE__KIND_WELCOME, on_welcome },
    { ENVELOPE__KIND_ASSIGN, on_assign },
    { ENVELOPE__KIND_REVOKE, on_revoke },
    { ENVELOPE__KIND_RESULT_ACK, on_result_ack },
    { ENVELOPE__KIND_CHALLENGE, on_challenge },
    { ENVELOPE__KIND_HEARTBEAT_ACK, on_ack },
    { ENVELOPE__KIND_DRAIN, on_drain },
    { ENVELOPE__KIND_REFUSED, on_refused },
};

static int listen_all(struct worker *w, int64_t now, struct err *e)
{
    for (;;) {
        Envelope *m = NULL;
        struct peer peer;
        int rc = socket_receive(w->socket, &peer, &m, e);
        if (rc == E_PROTOCOL) {
            log_warn("a message was refused: %s", e->msg);
            continue;
        }
        if (rc != OK || !m)
            return rc;
        size_t i = 0;
        while (i < sizeof verbs / sizeof *verbs && verbs[i].kind != m->kind_case)
            i++;
        w->heard = now;
        if (i < sizeof verbs / sizeof *verbs)
            verbs[i].act(w, m);
        else
            log_warn("the orchestrator sent a '%s'", message_kind(&m->base));
        message_free(m);
    }
}

/* ---- what the executor says ---- */

static void tell_failure(const struct worker *w, const char *message)
{
    const AttemptRef *a = w->running->attempt;
    const char *label = w->running->label ? w->running->label : "", *slash = strchr(label, '/');
    struct log_about about = { .worker = w->o->name, .attempt = a->attempt };
    char run[260], task[ID_HEX];
    struct id id;

    snprintf(run, sizeof run, "%.*s", slash ? (int)(slash - label) : 0, label);
    about.run = run;
    about.job = slash ? slash + 1 : NULL;
    if (id_from_span(&id, a->task.data, a->task.len)) {
        id_hex(task, &id);
        about.task = task;
    }
    log_event(LOG_WARN, &about, "%s", message);
}

/* unreadable: NULL, or why it must end. */
static void child_ended(struct worker *w, const char *unreadable)
{
    Failure *f = NULL;
    struct err e = ERR_INIT;

    if (child_failure(&f, w->child, unreadable, &e) != OK)
        log_error("%s", e.msg);
    else if (w->running)
        tell_failure(w, f->message);
    attempt_end_child(w);
    if (w->running && w->phase == COMPUTING && f)
        attempt_failed(w, f);
    else
        message_free(f);
}

static void on_outcome(struct worker *w, Outcome *o)
{
    child_log(w->child, take_line, w);
    worker_send_lines(w);
    attempt_computed(w, o);
}

static void hear_child(struct worker *w, int64_t now)
{
    Envelope *m = NULL;
    struct err e = ERR_INIT;
    int rc = child_receive(w->child, &m, &e);

    if (rc != OK || !m) {
        child_ended(w, rc != OK ? e.msg : NULL);
        return;
    }
    if (m->kind_case == ENVELOPE__KIND_PROGRESS && w->running)
        worker_post(w, m);
    if (m->kind_case == ENVELOPE__KIND_OUTCOME && w->running)
        on_outcome(w, m->outcome);
    message_free(m);
    attempt_start_next(w, now);
}

static void hear_all(struct worker *w, bool ready, int64_t now)
{
    for (int n = 0; w->child && ready && n < SENT_MAX; n++) {
        hear_child(w, now);
        ready = w->child && child_has_more(w->child);
    }
}

/* ---- time ---- */

/* An orchestrator that does not know our key answers nothing at all. */
static void knock(struct worker *w, int64_t now)
{
    say_hello(w);
    if (w->knocking == 0)
        w->knocking = now;
    if (w->knocking < 0 || now - w->knocking < PATIENCE_MS)
        return;
    log_warn("no answer from %s yet: is it there%s?", w->o->connect,
        socket_is_local(w->o->connect) && !w->o->key_file ? ""
        : w->o->key_file                                  ? ", and is this key on its list"
                                                          : ", and does it want a key (--key)");
    w->knocking = -1;
}

/* held_alone: what runs goes on, and no orchestrator is there that could give it away. */
static void out_of_touch(struct worker *w, int64_t now)
{
    bool absent = socket_refused(w->o->connect);

    if (absent && !w->held_alone)
        log_warn("there is no orchestrator at %s: %s", w->o->connect,
            w->running ? "what runs goes on" : "waiting for it");
    if (!absent) {
        log_warn("no word from the orchestrator for %.1f s: stopping what runs",
            (double)(now - w->heard) / 1000);
        drop_all(w);
    }
    if (w->welcome) {
        w->welcome = false;
        w->next_beat = now;
    }
    w->held_alone = absent;
    w->knocking = absent ? -1 : 0; /* that it does not answer was told */
    w->heard = now;
}

static void keep_time(struct worker *w, int64_t now)
{
    if (now >= w->next_beat) {
        if (w->welcome)
            beat(w);
        else
            knock(w, now);
        w->next_beat = now + (w->welcome ? w->beat_ms : HELLO_MS);
        worker_send_lines(w);
    }
    if ((w->welcome || w->held_alone) && now - w->heard > w->deadline_ms)
        out_of_touch(w, now);
    if (w->running && w->times_out && now >= w->times_out) {
        char text[80];
        snprintf(text, sizeof text, "still not done after %.0f s", w->running->timeout);
        attempt_end_child(w);
        attempt_fail(w, CAUSE__TIMEOUT, text);
    }
}

static int64_t wait_ms(const struct worker *w, int64_t now)
{
    int64_t until = w->next_beat;

    if (w->times_out && w->running && w->times_out < until)
        until = w->times_out;
    return until > now ? until - now : 0;
}

static int turn(struct worker *w, struct err *e)
{
    struct socket *sockets[] = { w->socket };
    int fds[4] = { w->signals };
    size_t n = 1;
    bool ready[5] = { 0 };
    int64_t now = clock_ms();

    if (w->child) {
        fds[n++] = child_message_fd(w->child);
        fds[n++] = child_log_fd(w->child);
    }
    size_t courier = n;
    if (w->courier)
        fds[n++] = courier_fd(w->courier);
    int rc = socket_poll(sockets, 1, fds, n, ready, wait_ms(w, now), e);
    if (rc != OK)
        return rc;
    now = clock_ms();
    if (ready[1])
        w->stop = true;
    if (w->child && ready[3])
        child_log(w->child, take_line, w);
    hear_all(w, ready[2], now);
    if (w->courier && ready[1 + courier])
        attempt_carried(w, now);
    rc = listen_all(w, now, e);
    keep_time(w, now);
    attempt_start_next(w, now);
    if (w->draining && !w->running && w->n_queue == 0 && w->n_finished == 0)
        w->stop = true;
    return rc;
}

static int worker_open(struct worker *w, struct err *e)
{
    struct store *s = NULL;
    uint8_t bytes[16];
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    w->signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (w->signals < 0 || getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return err_errno(e, "starting a worker");
    for (int i = 0; i < 16; i++)
        snprintf(w->id + 2 * i, 3, "%02x", bytes[i]);
    gethostname(w->host, sizeof w->host - 1);
    w->threads = w->o->threads > 0 ? w->o->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    w->beat_ms = HELLO_MS;
    int rc = store_open(&s, w->o->home, true, e);
    if (rc != OK)
        return rc;
    store_uuid(s, &w->store);
    store_close(s);
    rc = net_new(&w->net, e);
    if (rc == OK && w->o->key_file)
        rc = keys_read(&w->keys, w->o->key_file, e);
    if (rc == OK && w->o->key_file && !*w->keys.orchestrator)
        rc = err_set(e, E_INPUT, "%s: the orchestrator's public key belongs there", w->o->key_file);
    return rc == OK ? socket_connect(
                          &w->socket, w->net, w->o->connect, w->o->key_file ? &w->keys : NULL, e)
                    : rc;
}

int worker_run(const struct worker_options *o, struct err *e)
{
    struct worker w = { .o = o, .signals = -1 };
    Envelope bye = ENVELOPE__INIT;
    Goodbye goodbye = GOODBYE__INIT;

    if (o->parent) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != o->parent) /* it has ended already */
            return OK;
    }
    int rc = worker_open(&w, e);
    while (rc == OK && !w.stop)
        rc = turn(&w, e);
    if (w.socket && w.welcome) {
        bye.kind_case = ENVELOPE__KIND_GOODBYE;
        bye.goodbye = &goodbye;
        worker_post(&w, &bye);
    }
    drop_all(&w);
    attempt_end_child(&w);
    courier_free(w.courier);
    socket_free(w.socket);
    net_free(w.net);
    for (size_t i = 0; i < w.n_finished; i++)
        message_free(w.finished[i]);
    free(w.finished);
    close(w.signals);
    return rc;
}
