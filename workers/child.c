#include "workers/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/utf8.h"
#include "workers/math/engine.h"

extern char **environ;

#define TAIL_LINES 50
#define LINE_MAX_BYTES 1000
#define EXECUTOR_FD 3 /* the executor's end of the socket pair */

struct child {
    pid_t pid;
    int message_fd, log_fd;
    int threads;
    char class[128];
    char *tail[TAIL_LINES]; /* the last lines, oldest at tail[n_lines % TAIL_LINES] */
    size_t n_lines;
    char line[LINE_MAX_BYTES + 1];
    size_t n_line;
};

/* The environment with OpenBLAS's variables set for the class: they are read by the library's
 * constructor, so they must stand before exec. */
static char **environment(char *core, size_t size, const char *class, struct err *e)
{
    static const char *const drop[] = { "OPENBLAS_CORETYPE=", "OPENBLAS_L2_SIZE=",
        "OPENBLAS_NUM_THREADS=", "OMP_NUM_THREADS=", "GOTO_NUM_THREADS=" };
    static char one_thread[] = "OPENBLAS_NUM_THREADS=1";
    const char *const name = numeric_class_core(*class ? class : numeric_classes()[0]);
    size_t n = 0, kept = 0;

    if (!name) {
        err_set(e, E_INPUT, "this machine cannot provide the numeric class '%s'", class);
        return NULL;
    }
    snprintf(core, size, "OPENBLAS_CORETYPE=%s", name);
    while (environ[n])
        n++;
    char **env = calloc(n + 3, sizeof *env);
    if (!env) {
        err_set(e, E_NOMEM, "no memory for an environment");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        bool ours = false;
        for (size_t k = 0; k < sizeof drop / sizeof *drop; k++)
            ours = ours || strncmp(environ[i], drop[k], strlen(drop[k])) == 0;
        if (!ours)
            env[kept++] = environ[i];
    }
    env[kept++] = core;
    env[kept++] = one_thread;
    return env;
}

/* ends: [0] ours, [1] the executor's. */
static int spawn(struct child *c, const struct child_options *o, const int messages[2],
    const int log[2], struct err *e)
{
    char core[64], threads[16];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    char *argv[] = { "jielong-worker", "executor", "--home", (char *)(uintptr_t)o->home,
        "--numeric-class", (char *)(uintptr_t)o->numeric_class, "--threads", threads, NULL };
    char **env = environment(core, sizeof core, o->numeric_class, e);

    if (!env)
        return e->code;
    snprintf(threads, sizeof threads, "%d", o->threads);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, messages[1], EXECUTOR_FD);
    posix_spawn_file_actions_adddup2(&files, log[1], STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(
        &attributes, &none); /* the daemon blocks what it reads by signalfd */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int failed = posix_spawn(&c->pid, "/proc/self/exe", &files, &attributes, argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    free(env);
    if (failed) {
        c->pid = 0;
        return err_set(e, E_IO, "starting an executor: %s", strerror(failed));
    }
    return OK;
}

int child_spawn(struct child **out, const struct child_options *o, struct err *e)
{
    struct child *c = calloc(1, sizeof *c);
    int messages[2] = { -1, -1 }, log[2] = { -1, -1 };
    int rc = OK;

    if (!c)
        return err_set(e, E_NOMEM, "no memory for an executor");
    c->threads = o->threads;
    snprintf(c->class, sizeof c->class, "%s",
        *o->numeric_class ? o->numeric_class : numeric_classes()[0]);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, messages) != 0 ||
        pipe2(log, O_CLOEXEC) != 0)
        rc = err_errno(e, "starting an executor");
    /* adddup2 onto the same number would leave close-on-exec set: keep clear of it */
    if (rc == OK && messages[1] == EXECUTOR_FD) {
        messages[1] = fcntl(EXECUTOR_FD, F_DUPFD_CLOEXEC, 10);
        close(EXECUTOR_FD);
    }
    if (rc == OK)
        rc = spawn(c, o, messages, log, e);
    close(messages[1]);
    close(log[1]);
    c->message_fd = messages[0];
    c->log_fd = log[0];
    if (rc == OK)
        fcntl(c->log_fd, F_SETFL, O_NONBLOCK);
    if (rc != OK) {
        child_end(c);
        return rc;
    }
    *out = c;
    return OK;
}

static int reap(struct child *c)
{
    int status = 0;

    if (c->pid > 0)
        while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
            ;
    c->pid = 0;
    return status;
}

uint64_t child_memory(const struct child *c)
{
    unsigned long long pages = 0;
    char path[40];
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)c->pid);
    f = c->pid > 0 ? fopen(path, "re") : NULL;
    if (f && fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void child_end(struct child *c)
{
    if (!c)
        return;
    if (c->pid > 0)
        kill(c->pid, SIGKILL);
    reap(c);
    close(c->message_fd);
    close(c->log_fd);
    for (size_t i = 0; i < TAIL_LINES; i++)
        free(c->tail[i]);
    free(c);
}

const char *child_class(const struct child *c)
{
    return c->class;
}

int child_threads(const struct child *c)
{
    return c->threads;
}

int child_message_fd(const struct child *c)
{
    return c->message_fd;
}

int child_log_fd(const struct child *c)
{
    return c->log_fd;
}

int child_execute(struct child *c, const Assignment *a, struct err *e)
{
    Envelope m = ENVELOPE__INIT;
    Execute x = EXECUTE__INIT;

    x.attempt = a->attempt;
    x.spec = a->spec;
    x.has_threads = true;
    x.threads = (uint32_t)c->threads;
    m.kind_case = ENVELOPE__KIND_EXECUTE;
    m.execute = &x;
    return wire_write(c->message_fd, &m, e);
}

bool child_has_more(const struct child *c)
{
    char one;

    return recv(c->message_fd, &one, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

int child_receive(struct child *c, Envelope **out, struct err *e)
{
    return wire_read(out, c->message_fd, e);
}

static void end_line(struct child *c, void (*line)(void *ctx, const char *text), void *ctx)
{
    struct buf clean = { 0 };
    size_t place = c->n_lines % TAIL_LINES;

    if (utf8_escape(&clean, c->line, c->n_line) == OK && clean.p) {
        free(c->tail[place]);
        c->tail[place] = clean.p;
        c->n_lines++;
        if (line)
            line(ctx, clean.p);
    } else {
        buf_free(&clean);
    }
    c->n_line = 0;
}

bool child_log(struct child *c, void (*line)(void *ctx, const char *text), void *ctx)
{
    char bytes[4096];
    ssize_t n;

    while ((n = read(c->log_fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] == '\n' || c->n_line == LINE_MAX_BYTES)
                end_line(c, line, ctx);
            if (bytes[i] != '\n')
                c->line[c->n_line++] = bytes[i];
        }
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void describe(Failure *f, int status, char *text, size_t size)
{
    if (WIFSIGNALED(status)) {
        bool memory = WTERMSIG(status) == SIGKILL; /* we did not send it: the kernel did */
        f->cause = memory ? CAUSE__OUT_OF_MEMORY : CAUSE__CRASH;
        snprintf(text, size, "the executor was killed by signal %d (%s)%s", WTERMSIG(status),
            strsignal(WTERMSIG(status)),
            memory ? ": most likely the machine ran out of memory" : "");
    } else {
        f->cause = CAUSE__CRASH;
        snprintf(text, size, "the executor ended with status %d", WEXITSTATUS(status));
    }
}

/* Nothing more can come: it has ended, or is about to. */
static bool is_gone(const struct child *c)
{
    char byte;
    ssize_t n = recv(c->message_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* It may live on, and wait for us as we would for it; or it crashed in the middle of a message. */
static void describe_unreadable(
    Failure *f, struct child *c, const char *why, char *text, size_t size)
{
    kill(c->pid, SIGKILL);
    int status = reap(c);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        describe(f, status, text, size);
        return;
    }
    f->cause = CAUSE__CRASH;
    snprintf(text, size, "the executor sent what cannot be read: %s", why);
}

int child_failure(Failure **out, struct child *c, const char *unreadable, struct err *e)
{
    Failure *f = calloc(1, sizeof *f);
    char text[400];

    if (!f)
        return err_set(e, E_NOMEM, "no memory for a failure");
    failure__init(f);
    child_log(c, NULL, NULL);
    f->has_cause = true;
    if (unreadable && !is_gone(c))
        describe_unreadable(f, c, unreadable, text, sizeof text);
    else
        describe(f, reap(c), text, sizeof text);
    f->message = strdup(text);
    f->log = calloc(TAIL_LINES, sizeof *f->log);
    size_t n = c->n_lines < TAIL_LINES ? c->n_lines : TAIL_LINES;
    for (size_t i = 0; f->log && i < n; i++)
        f->log[f->n_log++] = strdup(c->tail[(c->n_lines - n + i) % TAIL_LINES]);
    *out = f;
    return OK;
}
