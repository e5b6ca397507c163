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
#include "orchestrator/cli/crew.h"
#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "proto/clock.h"
#include "store/state.h"

extern char **environ;

#define QUICK_MS 2000 /* a child that lived less long died quickly */
#define QUICK_MAX 5   /* so often in a row is too often */
#define READY_MS 60000
#define END_MS 5000
#define DISMISS_MS 2000 /* so often a worker is told to leave, until it does */
#define ANSWER_MS 1000
#define LOG_END 300 /* bytes of a child's log in an error */

struct member {
    char name[16];
    pid_t pid; /* 0: does not live */
    int64_t started;
    int quick;         /* quick deaths in a row */
    int64_t dismissed; /* when it was last told to leave; 0: never */
};

struct embedded {
    struct embedded_options o;
    char url[HOME_URL], parent[16];
    struct member *members; /* the orchestrator first */
    bool shared;            /* nobody said how many threads: a task may ask for more */
    int n;                  /* of members: those that are wanted come first */
    int wanted;             /* workers */
    int crew;               /* see crew.h; -1: not yet */
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

    if (b->o.format)
        return err_set(e, E_IO, "%s %s", m->name, what);
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
    int log = b->o.format ? STDERR_FILENO : open_log(b, m->name, e);

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
    if (!b->o.format)
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
    const char *format = b->o.format ? b->o.format : "text";
    char program[PATH_MAX + 16];
    char *argv[] = { program, "orchestrator", "--home", (char *)(uintptr_t)b->o.home, "--end-with",
        b->parent, "--ready-fd", "3", "--log-format", (char *)(uintptr_t)format,
        b->o.listen ? "--listen" : NULL, (char *)(uintptr_t)b->o.listen, NULL };
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
    const char *format = b->o.format ? b->o.format : "text";
    char program[PATH_MAX + 32], threads[16];
    char *argv[] = { program, "worker", "--connect", b->url, "--home", (char *)(uintptr_t)b->o.home,
        "--name", m->name, b->shared ? "--share" : "--threads", threads, "--end-with", b->parent,
        "--log-format", (char *)(uintptr_t)format, NULL };

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
    if (workers < 1)
        workers = 1;
    return cores > workers ? (int)(cores + workers - 1) / workers : 1;
}

/* Room for so many workers: who is there stays. */
static int make_room(struct embedded *b, int workers, struct err *e)
{
    struct member *p;

    if (workers + 1 <= b->n)
        return OK;
    p = realloc(b->members, ((size_t)workers + 1) * sizeof *p);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    b->members = p;
    for (; b->n <= workers; b->n++) {
        p[b->n] = (struct member){ .pid = 0 };
        if (b->n == 0)
            snprintf(p->name, sizeof p->name, "orchestrator");
        else
            snprintf(p[b->n].name, sizeof p[b->n].name, "w%d", b->n);
    }
    return OK;
}

static int want(struct embedded *b, int workers, struct err *e)
{
    int rc = make_room(b, workers, e);

    if (rc != OK)
        return rc;
    b->wanted = workers;
    if (b->shared)
        b->o.threads = share_of_cores(workers);
    return OK;
}

int embedded_start(struct embedded **out, const struct embedded_options *o, struct err *e)
{
    struct embedded *b = calloc(1, sizeof *b);
    int rc;

    if (!b)
        return err_set(e, E_NOMEM, "out of memory");
    b->crew = -1;
    rc = home_url(b->url, o->home, e);
    if (rc == OK) {
        b->o = *o;
        b->shared = o->threads == 0;
        snprintf(b->parent, sizeof b->parent, "%d", (int)getpid());
        rc = want(b, o->workers, e);
    }
    if (rc == OK)
        rc = start_member(b, 0, e);
    if (rc == OK)
        rc = crew_take(&b->crew, o->home, (unsigned)o->workers, e);
    for (int i = 1; rc == OK && i < b->n; i++)
        rc = start_member(b, i, e);
    if (rc != OK) {
        embedded_end(b);
        return rc;
    }
    *out = b;
    return OK;
}

/* It finishes what it has, and ends. Nobody answers, or knows it yet: it is asked again. */
static void dismiss(struct embedded *b, struct member *m, int64_t now_ms)
{
    Envelope q = ENVELOPE__INIT, *reply = NULL;
    Control drain = CONTROL__INIT;
    struct client *c = NULL;
    struct err e = ERR_INIT;

    if (m->dismissed > 0 && now_ms - m->dismissed < DISMISS_MS)
        return;
    m->dismissed = now_ms;
    drain.has_verb = true;
    drain.verb = CONTROL__VERB__DRAIN;
    drain.worker = m->name;
    q.kind_case = ENVELOPE__KIND_CONTROL;
    q.control = &drain;
    if (client_open(&c, b->url, &e) == OK)
        (void)client_ask(c, &q, &reply, ANSWER_MS, &e);
    message_free(reply);
    client_close(c);
}

static void look_at(struct member *m, int64_t now_ms)
{
    if (m->pid == 0 || waitpid(m->pid, NULL, WNOHANG) != m->pid)
        return;
    m->quick = now_ms - m->started < QUICK_MS && m->dismissed == 0 ? m->quick + 1 : 0;
    m->pid = 0;
    m->dismissed = 0;
}

int embedded_look_after(struct embedded *b, int64_t now_ms, struct err *e)
{
    int wanted = (int)crew_wanted(b->crew, (unsigned)b->wanted);
    int rc = wanted == b->wanted ? OK : want(b, wanted, e);

    for (int i = 0; i < b->n && rc == OK; i++) {
        struct member *m = &b->members[i];
        look_at(m, now_ms);
        if (i > b->wanted && m->pid != 0)
            dismiss(b, m, now_ms);
        if (i > b->wanted || m->pid != 0)
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
    if (b->crew >= 0)
        close(b->crew);
    free(b->members);
    free(b);
}
