#include "workers/executor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "proto/wire.h"
#include "workers/peak.h"
#include "workers/tasks/memory.h"
#include "workers/tasks/task.h"

#define TELL_MS 500  /* between two progress messages */
#define LOG_MS 10000 /* between two progress lines of the log */

struct executor {
    int fd;
    struct store *store;
    struct engine engine;
    struct warm *warm;
    uint64_t memory, resident; /* bytes there are; taken before the first task */
    double peak;               /* GFLOP/s; 0: not measured yet */
    /* the attempt that runs: */
    AttemptRef *attempt;
    int64_t started, told, logged;
};

/* Share of the peak of so many GFLOP/s: "model FLOP utilisation" (Chowdhery et al. 2022, appendix
 * B). False: the training is not long enough to be worth a measurement. */
static bool share_of_peak(double *value, struct executor *x, int64_t now)
{
    if (x->peak == 0 && now - x->started >= LOG_MS)
        x->peak = peak_gflops(&x->engine);
    *value = x->peak > 0 ? *value / x->peak : 0;
    return x->peak > 0;
}

/* Tasks read no clock: they count, and the rates are made here. */
static void progress_rate(Progress *p, struct executor *x, int64_t now)
{
    double seconds = (double)(now - x->started) / 1000;
    size_t kept = 0;

    p->rate = p->has_rate && seconds > 0 ? p->rate / seconds : 0;
    for (size_t i = 0; i < p->n_metrics; i++) {
        Metric *m = p->metrics[i];
        bool share = strcmp(m->name, "mfu") == 0;
        if (share || strcmp(m->name, "gflops") == 0)
            m->value = seconds > 0 ? m->value / seconds : 0;
        if (!share || share_of_peak(&m->value, x, now))
            p->metrics[kept++] = m;
    }
    p->n_metrics = kept;
}

static void progress_log(const Progress *p)
{
    char text[256];
    int n = snprintf(
        text, sizeof text, "%llu/%llu", (unsigned long long)p->done, (unsigned long long)p->total);

    if (p->has_rate && p->rate_unit)
        n += snprintf(text + n, sizeof text - (size_t)n, "  %.0f %s", p->rate, p->rate_unit);
    for (size_t i = 0; i < p->n_metrics && n < 200; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "  %s %.4g", p->metrics[i]->name,
            p->metrics[i]->value);
    log_info("%s", text);
}

static int tell(void *ctx, const Progress *p)
{
    struct executor *x = ctx;
    Envelope m = ENVELOPE__INIT;
    Progress copy = *p;
    struct err e = ERR_INIT;
    int64_t now = clock_ms();

    if (now - x->told < TELL_MS && p->done < p->total)
        return 0;
    x->told = now;
    progress_rate(&copy, x, now);
    copy.attempt = x->attempt;
    if (now - x->logged >= LOG_MS) {
        progress_log(&copy);
        x->logged = now;
    }
    m.kind_case = ENVELOPE__KIND_PROGRESS;
    m.progress = &copy;
    return wire_write(x->fd, &m, &e) == OK ? 0 : 1; /* the daemon is gone: stop */
}

static Cause cause_of(int code)
{
    static const struct {
        int code;
        Cause cause;
    } causes[] = {
        { E_INPUT, CAUSE__BAD_INPUT },
        { E_PROTOCOL, CAUSE__BAD_INPUT },
        { E_NOMEM, CAUSE__OUT_OF_MEMORY },
        { E_TOO_LARGE, CAUSE__TOO_LARGE },
        { E_INVARIANT, CAUSE__INVARIANT },
        { E_IO, CAUSE__IO },
        { E_CORRUPT, CAUSE__IO },
        { E_MISSING, CAUSE__IO },
        { E_CANCELLED, CAUSE__STOPPED },
    };

    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (causes[i].code == code)
            return causes[i].cause;
    return CAUSE__CRASH;
}

static void tell_bad(void *ctx, const char *what)
{
    (void)ctx;
    log_error("%s", what);
}

static void tell_gone(void *ctx, const struct id *artifact)
{
    char hex[ID_HEX];

    (void)ctx;
    id_hex(hex, artifact);
    log_error("artifact %.12s was damaged and is taken away: it is fetched or made again", hex);
}

/* What was damaged on the disk must not be read again by the next attempt. */
static void heal(struct executor *x)
{
    struct err e = ERR_INIT;

    if (store_heal(x->store, tell_bad, tell_gone, NULL, &e) != OK)
        log_error("%s", e.msg);
}

static int run_one(struct executor *x, const Execute *k, struct err *e)
{
    struct task_context c = { .store = x->store,
        .engine = &x->engine,
        .warm = x->warm,
        .progress = tell,
        .ctx = x,
        .memory = x->memory,
        .resident = x->resident };
    Envelope m = ENVELOPE__INIT;
    Outcome o = OUTCOME__INIT;
    Failure f = FAILURE__INIT;
    TaskAnswer *answer = NULL;
    struct err why = ERR_INIT;

    x->attempt = k->attempt;
    x->started = x->logged = clock_ms();
    x->told = 0;
    int rc = task_run(&answer, &c, k->spec, &why);
    if (rc == OK) {
        o.kind_case = OUTCOME__KIND_ANSWER;
        o.answer = answer;
        for (size_t i = 0; i < answer->n_notes; i++)
            log_warn("%s", answer->notes[i]);
        log_info("%s done in %.1f s", message_kind(&k->spec->base),
            (double)(clock_ms() - x->started) / 1000);
    } else {
        o.kind_case = OUTCOME__KIND_FAILURE;
        o.failure = &f;
        f.has_cause = true;
        f.cause = cause_of(rc);
        f.message = why.msg;
        log_error("%s: %s", message_kind(&k->spec->base), why.msg);
        if (rc == E_CORRUPT)
            heal(x);
    }
    m.kind_case = ENVELOPE__KIND_OUTCOME;
    m.outcome = &o;
    rc = wire_write(x->fd, &m, e);
    message_free(answer);
    return rc;
}

/* When memory runs out the kernel shall take the executor, not the daemon. */
static void volunteer_for_oom(void)
{
    FILE *f = fopen("/proc/self/oom_score_adj", "w");

    if (f) {
        fputs("500", f);
        fclose(f);
    }
}

int executor_run(const struct executor_options *o, struct err *e)
{
    struct executor x = { .fd = o->fd, .memory = memory_limit("") };
    int rc;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    volunteer_for_oom();
    rc = store_open(&x.store, o->home, false, e);
    if (rc == OK)
        rc = engine_init(&x.engine, *o->numeric_class ? o->numeric_class : NULL, o->threads, e);
    if (rc == OK)
        rc = warm_new(&x.warm, e);
    x.resident = memory_resident();
    while (rc == OK) {
        Envelope *m = NULL;
        rc = wire_read(&m, x.fd, e);
        if (rc != OK || !m)
            break;
        if (m->kind_case == ENVELOPE__KIND_EXECUTE)
            rc = run_one(&x, m->execute, e);
        else
            rc = err_set(e, E_PROTOCOL, "the daemon sent a '%s'", message_kind(&m->base));
        message_free(m);
    }
    warm_free(x.warm);
    engine_free(&x.engine);
    store_close(x.store);
    return rc;
}
