#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "orchestrator/cli/follow.h"
#include "proto/clock.h"

#define POLL_MS 200

struct watching {
    struct follow *f;
    int signals;
    struct view *v;
};

static int catch_interrupt(struct watching *w, struct err *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_errno(e, "signals");
    w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->signals >= 0 ? OK : err_errno(e, "signals");
}

static int watch(struct watching *w, const char *run, int *exit_code, struct err *e)
{
    enum follow_end end = FOLLOW_GOES_ON;
    struct pollfd p = { w->signals, POLLIN, 0 };
    int rc = follow_look(w->f, clock_ms(), &end, e);

    while (rc == OK && end == FOLLOW_GOES_ON) {
        if (poll(&p, 1, POLL_MS) > 0) {
            follow_pause(w->f);
            fprintf(stderr, "left; %s goes on\n", run);
            *exit_code = EXIT_STILL_RUNNING;
            return OK;
        }
        int64_t now = clock_ms();
        rc = follow_look(w->f, now, &end, e);
        if (rc == OK && end == FOLLOW_GOES_ON && view_deserted(w->v, now)) {
            *exit_code = EXIT_INTERRUPTED;
            return follow_finish(w->f, e);
        }
    }
    *exit_code = end == FOLLOW_DONE ? EXIT_DONE : EXIT_RUN_FAILED;
    return rc == OK ? follow_finish(w->f, e) : rc;
}

int watch_command(struct command_line *l)
{
    struct watching w = { .signals = -1 };
    bool plain = false;
    const struct option_row rows[] = {
        { "plain", 0, OPTION_FLAG, &plain, NULL,
            "one line of key=value for each event, even on a terminal", 0, 0, NULL },
    };
    struct target t = { 0 };
    struct err e = ERR_INIT;
    int exit_code = EXIT_DONE;

    if (!command_begin(l, rows, 1, 0, 1))
        return l->exit_code;
    int rc = view_open(&w.v, l->home, NULL, &e);
    if (rc == OK)
        rc = view_target(&t, w.v, l->n ? l->args[0] : "", &e);
    if (rc == OK)
        rc = catch_interrupt(&w, &e);
    if (rc == OK)
        rc = follow_open(&w.f, l, w.v, t.run->run, plain, &e);
    if (rc == OK)
        rc = watch(&w, t.run->run, &exit_code, &e);
    follow_close(w.f);
    message_free(t.run);
    view_close(w.v);
    return rc == OK ? exit_code : complain(&e);
}
