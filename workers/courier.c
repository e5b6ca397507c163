#include "workers/courier.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/id_set.h"
#include "proto/log.h"
#include "store/checkpoint.h"
#include "store/transfer.h"

enum errand { NOTHING, FETCH, PUSH, END };

struct courier {
    struct net *net;
    struct socket *socket; /* the thread's alone, as the store is */
    struct store *store;
    uint64_t cache_bytes;
    pthread_t thread;
    bool started;
    int done_fd;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t given;
    enum errand errand; /* to be done; NOTHING: none, or it is over */
    struct id_set ids;  /* that it is about, in their order */
    struct id_set used; /* in this life, the latest last */
    size_t touched;     /* so many of them at the end in this errand */
    int rc;
    struct err err;
};

/* ---- the cache ---- */

static void use(struct courier *c, const struct id *id)
{
    struct err none = ERR_INIT;
    size_t kept = 0;

    for (size_t i = 0; i < c->used.n; i++)
        if (!id_equal(&c->used.ids[i], id))
            c->used.ids[kept++] = c->used.ids[i];
    c->used.n = kept;
    c->touched++;
    if (id_set_add(&c->used, id, &none) != OK)
        log_warn("%s", none.msg);
}

/* What was not used in this life is older than all that was. */
static int each_unused(void *ctx, const struct id *id, const Manifest *m, struct err *e)
{
    struct courier *c = ctx;

    (void)m;
    for (size_t i = 0; i < c->used.n; i++)
        if (id_equal(&c->used.ids[i], id))
            return OK;
    return id_set_add(&c->ids, id, e);
}

static bool is_full(struct courier *c)
{
    struct err e = ERR_INIT;
    uint64_t file = 0, unused = 0;

    return store_size(c->store, &file, &unused, &e) == OK && file - unused > c->cache_bytes;
}

/* After an errand; what it was about stays. */
static void make_room(struct courier *c)
{
    struct swept swept = { 0 };
    struct err e = ERR_INIT;
    int rc = OK;

    if (!is_full(c))
        return;
    c->ids.n = 0;
    rc = store_each(c->store, each_unused, c, &e);
    if (rc == OK && c->ids.n > 0)
        rc = store_drop(c->store, c->ids.ids, c->ids.n, &swept, &e);
    while (rc == OK && c->used.n > c->touched && is_full(c)) {
        rc = store_drop(c->store, c->used.ids, 1, &swept, &e);
        memmove(c->used.ids, c->used.ids + 1, --c->used.n * sizeof *c->used.ids);
    }
    if (rc != OK)
        log_warn("the cache: %s", e.msg);
    log_info("the cache was full: %llu artifacts left it", (unsigned long long)swept.artifacts);
}

/* ---- errands ---- */

/* A model names its tokenizer, which tasks read too. */
static int fetch_named(struct transfer *t, struct courier *c, const struct id *id, struct err *e)
{
    struct checkpoint_reader *r = NULL;
    Manifest *m = NULL;
    struct id tokenizer;
    int rc = store_manifest(&m, t->store, id, e);
    bool model = rc == OK &&
                 (m->kind == ARTIFACT_KIND__CHECKPOINT || m->kind == ARTIFACT_KIND__TRAINING_STATE);

    message_free(m);
    if (!model)
        return rc;
    rc = checkpoint_open(&r, t->store, id, e);
    if (rc == OK) {
        const CheckpointHeader *h = checkpoint_header(r);
        if (h->has_tokenizer && id_from_span(&tokenizer, h->tokenizer.data, h->tokenizer.len)) {
            rc = transfer_fetch(t, &tokenizer, e);
            use(c, &tokenizer);
        }
    }
    checkpoint_close(r);
    return rc;
}

static int run(struct courier *c, enum errand errand, struct err *e)
{
    struct transfer t = { c->store, c->socket, &c->stop };
    int rc = OK;

    c->touched = 0;
    for (size_t i = 0; i < c->ids.n && rc == OK; i++) {
        rc = errand == FETCH ? transfer_fetch(&t, &c->ids.ids[i], e)
                             : transfer_push(&t, &c->ids.ids[i], e);
        use(c, &c->ids.ids[i]);
        if (rc == OK && errand == FETCH)
            rc = fetch_named(&t, c, &c->ids.ids[i], e);
    }
    if (rc == OK)
        make_room(c);
    return rc;
}

static void *work(void *arg)
{
    struct courier *c = arg;
    uint64_t one = 1;

    pthread_mutex_lock(&c->lock);
    while (c->errand != END) {
        enum errand errand = c->errand;
        struct err e = ERR_INIT;
        if (errand == NOTHING) {
            pthread_cond_wait(&c->given, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        int rc = run(c, errand, &e);
        pthread_mutex_lock(&c->lock);
        c->rc = rc;
        c->err = e;
        if (c->errand == errand)
            c->errand = NOTHING;
        if (write(c->done_fd, &one, sizeof one) != (ssize_t)sizeof one)
            log_error("a courier cannot say that it is back");
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* tcp://HOST:PORT → tcp://HOST:BULK */
static int bulk_url(char out[512], const char *connect, unsigned port, struct err *e)
{
    const char *colon = strrchr(connect, ':');

    if (strncmp(connect, "tcp://", 6) != 0 || colon < connect + 6 || strlen(connect) > 400)
        return err_set(e, E_INPUT, "'%s': chunks come over tcp://HOST:PORT alone", connect);
    snprintf(out, 512, "%.*s:%u", (int)(colon - connect), connect, port);
    return OK;
}

static int start_thread(struct courier *c, struct err *e)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&c->thread, NULL, work, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    c->started = !failed;
    return failed ? err_set(e, E_NOMEM, "cannot start a thread: %s", strerror(failed)) : OK;
}

int courier_new(struct courier **out, const struct courier_options *o, struct err *e)
{
    struct courier *c = calloc(1, sizeof *c);
    char url[512];
    int rc = c ? bulk_url(url, o->connect, o->bulk_port, e) : err_set(e, E_NOMEM, "out of memory");

    if (!c)
        return rc;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->given, NULL);
    c->cache_bytes = o->cache_bytes;
    c->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rc == OK && c->done_fd < 0)
        rc = err_errno(e, "courier");
    if (rc == OK)
        rc = store_open(&c->store, o->home, true, e);
    if (rc == OK)
        rc = net_new(&c->net, e);
    if (rc == OK)
        rc = socket_connect(&c->socket, c->net, url, o->keys, e);
    if (rc == OK)
        rc = start_thread(c, e);
    if (rc != OK) {
        courier_free(c);
        return rc;
    }
    *out = c;
    return OK;
}

static void give(struct courier *c, enum errand errand)
{
    pthread_mutex_lock(&c->lock);
    c->errand = errand;
    pthread_cond_signal(&c->given);
    pthread_mutex_unlock(&c->lock);
}

void courier_free(struct courier *c)
{
    if (!c)
        return;
    atomic_store(&c->stop, true);
    if (c->started) {
        give(c, END);
        pthread_join(c->thread, NULL);
    }
    if (c->socket)
        socket_free(c->socket);
    if (c->net)
        net_free(c->net);
    store_close(c->store);
    if (c->done_fd >= 0)
        close(c->done_fd);
    pthread_cond_destroy(&c->given);
    pthread_mutex_destroy(&c->lock);
    id_set_free(&c->ids);
    id_set_free(&c->used);
    free(c);
}

int courier_fd(const struct courier *c)
{
    return c->done_fd;
}

int courier_fetch(struct courier *c, const TaskSpec *spec, struct err *e)
{
    struct id id;
    int rc = OK;

    c->ids.n = 0; /* the thread rests */
    for (size_t i = 0; i < spec->n_inputs && rc == OK; i++)
        if (id_from_span(&id, spec->inputs[i]->id.data, spec->inputs[i]->id.len))
            rc = id_set_add(&c->ids, &id, e);
    if (rc == OK)
        give(c, FETCH);
    return rc;
}

int courier_push(struct courier *c, const TaskAnswer *answer, struct err *e)
{
    struct id id;
    int rc = OK;

    c->ids.n = 0;
    for (size_t i = 0; i < answer->n_outputs && rc == OK; i++)
        if (id_from_span(&id, answer->outputs[i]->id.data, answer->outputs[i]->id.len))
            rc = id_set_add(&c->ids, &id, e);
    if (rc == OK)
        give(c, PUSH);
    return rc;
}

bool courier_done(struct courier *c, int *rc, struct err *e)
{
    uint64_t count;

    if (read(c->done_fd, &count, sizeof count) != (ssize_t)sizeof count)
        return false;
    pthread_mutex_lock(&c->lock);
    *rc = c->rc;
    *e = c->err;
    pthread_mutex_unlock(&c->lock);
    return true;
}

void courier_stop(struct courier *c)
{
    struct err e = ERR_INIT;
    bool busy;
    int rc;

    atomic_store(&c->stop, true);
    do {
        pthread_mutex_lock(&c->lock);
        busy = c->errand != NOTHING;
        pthread_mutex_unlock(&c->lock);
        if (busy)
            socket_poll(NULL, 0, &c->done_fd, 1, &(bool){ false }, -1, &e);
    } while (busy);
    courier_done(c, &rc, &e);
    atomic_store(&c->stop, false);
}
