#include "orchestrator/cli/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/daemon.h"
#include "proto/clock.h"
#include "store/state.h"

extern char **environ;

#define QUICK_MS 2000 /* a child that lived less long died quickly */
#define QUICK_MAX 5   /* so often in a row is too often */
#define READY_MS 60000
#define END_MS 5000
#define LOG_END 300 /* bytes of a child's log in an error */

struct member {
    char name[16];
    pid_t pid; /* 0: does not live */
    int64_t started;
    int quick; /* quick deaths in a row */
};

struct embedded {
    struct embedded_options o;
    char url[HOME_URL], parent[16];
    struct member *members; /* the orchestrator first */
    bool shared;            /* nobody said how many threads: a task may ask for more */
    int n;
};

/* ---- logs ---- */

static void log_path(char out[HOME_PATH], const struct embedded *b, const char *name)
{
    snprintf(out, HOME_PATH, "%s/logs/%s.log", b->o.home, name);
}

static int open_log(const struct embedded *b, const char *name, struct err *e)
{
    char path[HOME_PATH];
    int fd;

    snprintf(path, sizeof path, "%s/logs", b->o.home);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_errno(e, "%s", path);
    log_path(path, b, name);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : err_errno(e, "%s", path);
}

/* The last whole line of a child's log says best why it ended. */
static int with_log(
    const struct embedded *b, const struct member *m, const char *what, struct err *e)
{
    char path[HOME_PATH], text[LOG_END + 1] = "", *line;
    int fd;
    ssize_t n = 0;

    log_path(path, b, m->name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        off_t size = lseek(fd, 0, SEEK_END);
        n = pread(fd, text, LOG_END, size > LOG_END ? size - LOG_END : 0);
        close(fd);
    }
    while (n > 0 && text[n - 1] == '\n')
        n--;
    text[n > 0 ? n : 0] = '\0';
    line = strrchr(text, '\n');
    return err_set(e, E_IO, "%s %s; it said last: %s\n  = help: its log is %s", m->name, what,
        line ? line + 1 : text, path);
}

/* ---- children ---- */

/* fd 3 of the child is ready_fd, when there is one. */
static int spawn(
    struct embedded *b, struct member *m, char *const argv[], int ready_fd, struct err *e)
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
    posix_spawnattr_setpgroup(
        &attributes, 0); /* Ctrl-C is for this process: it ends them in order */
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

static void reap(struct member *m)
{
    if (m->pid > 0)
        kill(m->pid, SIGKILL);
    while (m->pid > 0 && waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    m->pid = 0;
}

/* Waits for the byte that says that clients can connect. */
static int await_ready(struct embedded *b, int fd, struct err *e)
{
    struct pollfd p = { fd, POLLIN, 0 };
    struct member *m = &b->members[0];
    char byte;
    int n;

    while ((n = poll(&p, 1, READY_MS)) < 0 && errno == EINTR)
        ;
    if (n == 1 && read(fd, &byte, 1) == 1)
        return OK;
    reap(m);
    if (state_orchestrator_alive(b->o.home))
        return err_set(e, E_BUSY, "another orchestrator is at work in %s", b->o.home);
    return with_log(b, m, n == 0 ? "does not get ready" : "does not start", e);
}

static int start_orchestrator(struct embedded *b, struct err *e)
{
    char program[PATH_MAX + 16];
    char *argv[] = { program, "orchestrator", "--home", (char *)(uintptr_t)b->o.home, "--end-with",
        b->parent, "--ready-fd", "3", NULL };
    int ready[2] = { -1, -1 };

    snprintf(program, sizeof program, "%s/jielong", b->o.program);
    if (pipe2(ready, O_CLOEXEC) != 0)
        return err_errno(e, "starting the orchestrator");
    /* adddup2 of 3 onto 3 would keep close-on-exec: move it away */
    int write_end = fcntl(ready[1], F_DUPFD_CLOEXEC, 10);
    close(ready[1]);
    int rc = write_end >= 0 ? spawn(b, &b->members[0], argv, write_end, e)
                            : err_errno(e, "starting the orchestrator");
    if (write_end >= 0)
        close(write_end);
    if (rc == OK)
        rc = await_ready(b, ready[0], e);
    close(ready[0]);
    return rc;
}

static int start_worker(struct embedded *b, struct member *m, struct err *e)
{
    char program[PATH_MAX + 32], threads[16];
    char *argv[] = { program, "worker", "--connect", b->url, "--home", (char *)(uintptr_t)b->o.home,
        "--name", m->name, b->shared ? "--share" : "--threads", threads, "--end-with", b->parent,
        NULL };

    snprintf(program, sizeof program, "%s/jielong-worker", b->o.program);
    snprintf(threads, sizeof threads, "%d", b->o.threads);
    return spawn(b, m, argv, -1, e);
}

static int start_member(struct embedded *b, int i, struct err *e)
{
    return i == 0 ? start_orchestrator(b, e) : start_worker(b, &b->members[i], e);
}

/* Results do not depend on it: each worker gets its share of the cores this process may use. */
static int share_of_cores(int workers)
{
    cpu_set_t set;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = CPU_COUNT(&set);
    return cores > workers ? (int)(cores + workers - 1) / workers : 1;
}

int embedded_start(struct embedded **out, const struct embedded_options *o, struct err *e)
{
    struct embedded *b = calloc(1, sizeof *b);
    int rc = b ? home_url(b->url, o->home, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        b->o = *o;
        b->members = calloc((size_t)o->workers + 1, sizeof *b->members);
        if (!b->members)
            rc = err_set(e, E_NOMEM, "out of memory");
    }
    if (rc == OK) {
        b->n = 1 + o->workers;
        b->shared = o->threads == 0;
        b->o.threads = o->threads > 0 ? o->threads : share_of_cores(o->workers);
        snprintf(b->parent, sizeof b->parent, "%d", (int)getpid());
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
            return with_log(b, m, "keeps ending", e);
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
    free(b->members);
    free(b);
}
