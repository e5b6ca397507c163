#include "orchestrator/daemon.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "orchestrator/broker.h"
#include "orchestrator/bulk.h"
#include "proto/clock.h"
#include "proto/log.h"

static struct now now(void)
{
    return (struct now){ clock_ms(), clock_unix_ms() };
}

/* Signals become a readable descriptor: a handler could lose a wake-up. */
static int signals(int *fd, struct err *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_errno(e, "signals");
    *fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *fd >= 0 ? OK : err_errno(e, "signals");
}

/* ZeroMQ aborts when descriptors run out: take all that are allowed. */
static void raise_descriptors(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static int tell_ready(int fd, struct err *e)
{
    if (fd < 0)
        return OK;
    while (write(fd, "1", 1) < 0)
        if (errno != EINTR)
            return errno == EPIPE ? OK : err_errno(e, "telling that it is ready");
    return OK;
}

/* One turn: drain, decide, commit, send. What is sent is durable; all of a turn shares a commit. */
static int loop(
    struct orchestrator *o, struct broker *b, const int *fds, size_t n_fds, struct err *e)
{
    bool stop = false;
    int rc = OK;

    while (rc == OK && !stop && !orchestrator_stopped(o)) {
        rc = broker_wait(b, fds, n_fds, orchestrator_wait_ms(o, clock_ms()), &stop, e);
        struct now t = now(); /* the only reading that decides anything in this turn */
        if (rc == OK)
            rc = broker_drain(b, o, t, e);
        if (rc == OK)
            rc = orchestrator_tick(o, t, e);
        if (rc == OK)
            rc = orchestrator_commit(o, e); /* durable first; an error ends the daemon … */
        if (rc == OK)
            broker_flush(b, orchestrator_outbox(o)); /* … visible second */
    }
    return rc;
}

/* Keys are asked for where the home has a list of those who may connect. Without one the broker
 * refuses to listen off this host. */
static int own_keys(struct keys *out, bool *wanted, const char *home, struct err *e)
{
    char path[PATH_MAX];
    int rc = keys_path(path, sizeof path, home, "allowed", e);

    *wanted = rc == OK && access(path, F_OK) == 0;
    return *wanted ? keys_own(out, home, e) : rc;
}

/* The tcp side: clients and workers, and the chunks of workers elsewhere. */
static int listen_tcp(struct broker **b, struct bulk **bulk, struct orchestrator *o,
    const struct daemon_options *opt, struct err *e)
{
    struct keys keys;
    bool wanted = false;
    int rc = opt->listen ? own_keys(&keys, &wanted, opt->home, e) : OK;

    if (rc == OK)
        rc = broker_open(b, opt->home, opt->listen, wanted ? &keys : NULL, e);
    if (rc == OK && opt->listen && strncmp(opt->listen, "tcp://", 6) == 0)
        rc = bulk_start(
            bulk, orchestrator_store(o), opt->home, opt->listen, wanted ? &keys : NULL, e);
    if (rc == OK && *bulk) {
        orchestrator_serves(o, bulk_port(*bulk), bulk_traffic(*bulk));
        log_info("listening on %s, chunks on port %u, %s", broker_url(*b), bulk_port(*bulk),
            wanted ? "for those with keys" : "without keys");
    }
    return rc;
}

int daemon_run(const struct daemon_options *opt, struct err *e)
{
    struct orchestrator *o = NULL;
    struct broker *b = NULL;
    struct bulk *bulk = NULL;
    int fds[2] = { opt->stop_fd, -1 };
    int rc;

    raise_descriptors();
    rc = signals(&fds[1], e);
    if (rc == OK)
        rc = orchestrator_open(&o, opt->home, now(), e);
    if (rc == OK)
        rc = orchestrator_commit(o, e);
    if (rc == OK)
        rc = listen_tcp(&b, &bulk, o, opt, e);
    if (rc == OK)
        rc = tell_ready(opt->ready_fd, e);
    if (rc == OK) {
        log_info("orchestrator of %s is ready", opt->home);
        rc = loop(o, b, fds, 2, e);
    }
    broker_close(b);
    bulk_stop(bulk);
    orchestrator_close(o);
    if (fds[1] >= 0)
        close(fds[1]);
    return rc;
}
