#include "orchestrator/sweeper.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "proto/id_set.h"
#include "proto/log.h"

struct sweeper {
    struct store *store;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t called;
    struct id_set waiting;
    bool stop;
};

/* An error here loses nothing: the artifacts stay. */
static void sweep(struct sweeper *w, const struct id_set *s)
{
    struct swept swept = { 0 };
    struct err e = ERR_INIT;

    if (store_drop(w->store, s->ids, s->n, &swept, &e) != OK)
        log_warn("%s", e.msg);
}

static void *work(void *arg)
{
    struct sweeper *w = arg;

    pthread_mutex_lock(&w->lock);
    while (!w->stop || w->waiting.n > 0) {
        struct id_set taken = w->waiting;
        if (taken.n == 0) {
            pthread_cond_wait(&w->called, &w->lock);
            continue;
        }
        w->waiting = (struct id_set){ 0 };
        pthread_mutex_unlock(&w->lock);
        sweep(w, &taken);
        id_set_free(&taken);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int sweeper_new(struct sweeper **out, struct store *s, struct err *e)
{
    struct sweeper *w = calloc(1, sizeof *w);
    sigset_t all, before;

    if (!w)
        return err_set(e, E_NOMEM, "out of memory");
    w->store = s;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->called, NULL);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(w);
        return err_set(e, E_NOMEM, "cannot start a thread: %s", strerror(rc));
    }
    *out = w;
    return OK;
}

void sweeper_free(struct sweeper *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->called);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->called);
    pthread_mutex_destroy(&w->lock);
    id_set_free(&w->waiting);
    free(w);
}

void sweeper_take(struct sweeper *w, const struct id *artifact)
{
    struct err e = ERR_INIT;

    pthread_mutex_lock(&w->lock);
    if (id_set_add(&w->waiting, artifact, &e) == OK)
        pthread_cond_signal(&w->called);
    pthread_mutex_unlock(&w->lock);
}
