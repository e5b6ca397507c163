#include "orchestrator/cli/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "orchestrator/daemon.h"
#include "proto/clock.h"

extern char **environ;

#define MEMBERS_MAX 257
#define QUICK_MS 2000   /* a child that lived less long died quickly */
#define QUICK_MAX 5     /* so often in a row is too often */
#define READY_MS 30000
#define END_MS 5000

struct member {
    char name[16];
    pid_t pid;          /* 0: does not live */
    int64_t started;
    int quick;          /* quick deaths in a row */
};

struct embedded {
    struct embedded_options o;
    char url[HOME_URL];
    struct member members[MEMBERS_MAX]; /* the orchestrator first */
    int n;
};

static int open_log(const struct embedded *b, const char *name, struct err *e)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/logs", b->o.home);
    if ((mkdir(b->o.home, 0700) != 0 && errno != EEXIST) || (mkdir(path, 0700) != 0 && errno != EEXIST))
        return err_errno(e, "%s", path);
    snprintf(path, sizeof path, "%s/logs/%s.log", b->o.home, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : err_errno(e, "%s", path);
}

/* fd 3 of the child is ready_fd, when there is one. */
static int spawn(struct embedded *b, struct member *m, char *const argv[], int ready_fd, struct err *e)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    int log = open_log(b, m->name, e);

    if (log < 0)
        return log;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, log, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, log, STDERR_FILENO);
    if (ready_fd >= 0)
        posix_spawn_file_actions_adddup2(&files, ready_fd, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0); /* Ctrl-C is for this process: it ends them in order */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int failed = posix_spawn(&m->pid, argv[0], &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    close(log);
    m->started = clock_ms();
    if (!failed)
        return OK;
    m->pid = 0;
    return err_set(e, E_IO, "starting %s: %s", argv[0], strerror(failed));
}

static int start_orchestrator(struct embedded *b, struct err *e)
{
    char program[4096];
    char *argv[] = { program, "orchestrator", "--home", (char *)(uintptr_t)b->o.home,
        "--die-with-parent", "--ready-fd", "3", NULL };
    int ready[2] = { -1, -1 };
    char byte;

    snprintf(program, sizeof program, "%s/jielong", b->o.program);
    if (pipe2(ready, O_CLOEXEC) != 0)
        return err_errno(e, "starting the orchestrator");
    /* adddup2 of 3 onto 3 would keep close-on-exec: move it away */
    int write_end = fcntl(ready[1], F_DUPFD_CLOEXEC, 10);
    close(ready[1]);
    int rc = spawn(b, &b->members[0], argv, write_end, e);
    close(write_end);
    if (rc == OK) {
        struct pollfd p = { ready[0], POLLIN, 0 };
        int n = poll(&p, 1, READY_MS);
        if (n != 1 || read(ready[0], &byte, 1) != 1)
            rc = err_set(e, E_IO, "the orchestrator did not start: see %s/logs/orchestrator.log", b->o.home);
    }
    close(ready[0]);
    return rc;
}

static int start_worker(struct embedded *b, struct member *m, struct err *e)
{
    char program[4096], threads[16];
    char *argv[] = { program, "worker", "--connect", b->url, "--home", (char *)(uintptr_t)b->o.home,
        "--name", m->name, "--threads", threads, "--die-with-parent", NULL };

    snprintf(program, sizeof program, "%s/jielong-worker", b->o.program);
    snprintf(threads, sizeof threads, "%d", b->o.threads);
    return spawn(b, m, argv, -1, e);
}

static int start_member(struct embedded *b, int i, struct err *e)
{
    return i == 0 ? start_orchestrator(b, e) : start_worker(b, &b->members[i], e);
}

int embedded_start(struct embedded **out, const struct embedded_options *o, struct err *e)
{
    struct embedded *b = calloc(1, sizeof *b);
    int rc = b ? home_url(b->url, o->home, e) : err_set(e, E_NOMEM, "no memory");

    if (rc == OK && o->workers > MEMBERS_MAX - 1)
        rc = err_set(e, E_INPUT, "at most %d workers on one machine", MEMBERS_MAX - 1);
    if (rc == OK) {
        b->o = *o;
        b->n = 1 + o->workers;
        snprintf(b->members[0].name, sizeof b->members[0].name, "orchestrator");
    }
    for (int i = 0; rc == OK && i < b->n; i++) {
        if (i > 0)
            snprintf(b->members[i].name, sizeof b->members[i].name, "w%d", i);
        rc = start_member(b, i, e);
    }
    if (rc != OK) {
        embedded_end(b);
        return rc;
    }
    *out = b;
    return OK;
}

int embedded_look_after(struct embedded *b, int64_t now_ms, struct err *e)
{
    int rc = OK;

    for (int i = 0; i < b->n && rc == OK; i++) {
        struct member *m = &b->members[i];
        if (m->pid > 0 && waitpid(m->pid, NULL, WNOHANG) == m->pid) {
            m->quick = now_ms - m->started < QUICK_MS ? m->quick + 1 : 0;
            m->pid = 0;
        }
        if (m->pid != 0)
            continue;
        if (m->quick >= QUICK_MAX)
            return err_set(e, E_IO, "%s keeps ending: see %s/logs/%s.log", m->name, b->o.home, m->name);
        rc = start_member(b, i, e);
    }
    return rc;
}

void embedded_end(struct embedded *b)
{
    if (!b)
        return;
    for (int i = b->n - 1; i >= 0; i--)
        if (b->members[i].pid > 0)
            kill(b->members[i].pid, SIGTERM);
    int64_t until = clock_ms() + END_MS;
    for (int i = b->n - 1; i >= 0; i--) {
        while (b->members[i].pid > 0 && waitpid(b->members[i].pid, NULL, WNOHANG) == 0) {
            if (clock_ms() > until)
                kill(b->members[i].pid, SIGKILL);
            poll(NULL, 0, 5);
        }
    }
    free(b);
}
