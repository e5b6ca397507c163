#include "orchestrator/cli/signals.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

int signals_open(int *fd, struct err *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_errno(e, "signals");
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves does not end the run */
    *fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *fd >= 0 ? OK : err_errno(e, "signals");
}

bool signals_wait(int fd, int timeout_ms)
{
    struct pollfd p = { fd, POLLIN, 0 };
    struct signalfd_siginfo info;
    bool stop = false;

    if (poll(&p, 1, timeout_ms) > 0)
        while (read(fd, &info, sizeof info) == sizeof info)
            stop = stop || info.ssi_signo != SIGCHLD;
    return stop;
}
