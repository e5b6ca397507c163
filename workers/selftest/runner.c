#include "workers/selftest/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/clock.h"
#include "workers/selftest/known.h"
#include "workers/selftest/page.h"
#include "workers/selftest/testbed.h"

#define ROOM ((uint64_t)2 << 30) /* bytes that the stores of the tests may take together */

/* Ids of the children, for the handler; 0: none. */
struct child {
    pid_t pid;
    int fd;      /* where it writes its verdict */
    size_t test; /* index into the run's */
    int64_t started;
};

struct run {
    const struct selftest_options *o;
    char folder[PATH_MAX];
    size_t *tests, n;       /* indices of known_at */
    struct result *results; /* of each */
    struct child *children; /* o->processes */
    size_t started, printed;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- the temporary folder ---- */

static bool has_room(const char *path)
{
    struct statvfs s;

    return statvfs(path, &s) == 0 && (uint64_t)s.f_bavail * s.f_frsize >= ROOM &&
           access(path, W_OK) == 0;
}

/* In memory where that is possible: every task commits to the store. */
static int make_folder(char out[PATH_MAX], struct err *e)
{
    const char *base = getenv("TMPDIR");

    if (!base || !*base)
        base = has_room("/dev/shm") ? "/dev/shm" : "/tmp";
    snprintf(out, PATH_MAX, "%s/jielong-selftest-XXXXXX", base);
    return mkdtemp(out) ? OK : err_errno(e, "%s", out);
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *f)
{
    (void)s;
    (void)kind;
    (void)f;
    return remove(path);
}

static void remove_folder(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- a child ---- */

static void judge(struct verdict *v, const struct run *r, const char *folder, const struct known *k)
{
    struct testbed bed;
    struct err e = ERR_INIT;
    int rc = testbed_open(&bed, folder, 1, &e);

    bed.wrong_kl = r->o->wrong_kl;
    if (rc == OK)
        rc = k->run(v, &bed, k, &e);
    if (rc != OK)
        verdict_say(v, false, v->expected, "%s", e.msg);
    testbed_close(&bed);
}

static void child_main(const struct run *r, size_t test, int fd)
{
    char folder[PATH_MAX + 32];
    struct verdict v = { .holds = false };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    snprintf(folder, sizeof folder, "%s/%zu", r->folder, test);
    if (mkdir(folder, 0700) == 0)
        judge(&v, r, folder, known_at(r->tests[test]));
    else
        verdict_say(&v, false, "", "%s: %s", folder, strerror(errno));
    remove_folder(folder);
    _exit(write(fd, &v, sizeof v) == sizeof v ? 0 : 1);
}

static int child_start(struct run *r, struct child *c, struct err *e)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_errno(e, "a pipe for a test");
    fflush(stdout);
    *c = (struct child){ fork(), ends[0], r->started, clock_ms() };
    if (c->pid == 0)
        child_main(r, c->test, ends[1]);
    close(ends[1]);
    if (c->pid < 0) {
        c->pid = 0;
        close(ends[0]);
        return err_errno(e, "a process for a test");
    }
    r->started++;
    return OK;
}

/* A child has ended: its verdict, or how it died. */
static void child_end(struct run *r, struct child *c, int status)
{
    struct result *result = &r->results[c->test];

    result->seconds = (double)(clock_ms() - c->started) / 1000;
    result->done = true;
    if (read(c->fd, &result->v, sizeof result->v) != sizeof result->v)
        verdict_say(&result->v, false, "", WIFSIGNALED(status) ? "died: %s" : "no verdict: %s",
            WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it ended");
    close(c->fd);
    c->pid = 0;
}

/* ---- all of them ---- */

static int wait_one(struct run *r, struct err *e)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);

    if (pid < 0)
        return errno == EINTR ? OK : err_errno(e, "waiting for a test");
    for (int i = 0; i < r->o->processes; i++)
        if (r->children[i].pid == pid)
            child_end(r, &r->children[i], status);
    return OK;
}

static void end_children(struct run *r)
{
    for (int i = 0; i < r->o->processes; i++)
        if (r->children[i].pid > 0) {
            kill(r->children[i].pid, SIGKILL);
            waitpid(r->children[i].pid, NULL, 0);
            close(r->children[i].fd);
        }
}

static int run_all(struct run *r, struct err *e)
{
    int rc = OK;

    while (rc == OK && r->printed < r->n && !interrupted) {
        for (int i = 0; i < r->o->processes && rc == OK && r->started < r->n; i++)
            if (r->children[i].pid == 0)
                rc = child_start(r, &r->children[i], e);
        if (rc == OK)
            rc = wait_one(r, e);
        for (; r->printed < r->n && r->results[r->printed].done; r->printed++)
            if (!r->o->json)
                page_row(r->tests[r->printed], &r->results[r->printed]);
    }
    end_children(r);
    return rc;
}

static bool chosen(const struct selftest_options *o, const char *name)
{
    for (size_t i = 0; i < o->only->n; i++)
        if (strncmp(name, o->only->items[i], strlen(o->only->items[i])) == 0)
            return true;
    return o->only->n == 0;
}

static int choose(struct run *r, struct err *e)
{
    size_t all = known_count();

    r->tests = calloc(all, sizeof *r->tests);
    r->results = calloc(all, sizeof *r->results);
    r->children = calloc((size_t)r->o->processes, sizeof *r->children);
    if (!r->tests || !r->results || !r->children)
        return err_set(e, E_NOMEM, "no memory for %zu tests", all);
    for (size_t i = 0; i < all; i++)
        if (chosen(r->o, known_at(i)->name))
            r->tests[r->n++] = i;
    return r->n ? OK
                : err_set(
                      e, E_INPUT, "--only: no test's name begins with '%s'", r->o->only->items[0]);
}

static int run_and_print(int *verdict, struct run *r, struct err *e)
{
    int64_t started = clock_ms();

    if (!r->o->json)
        page_head();
    int rc = run_all(r, e);
    if (rc != OK)
        return rc;
    bool holds = r->printed == r->n;
    for (size_t i = 0; i < r->printed; i++)
        holds = holds && r->results[i].v.holds;
    *verdict = interrupted ? SELFTEST_INTERRUPTED : holds ? SELFTEST_HOLDS : SELFTEST_FAILS;
    double seconds = (double)(clock_ms() - started) / 1000;
    if (!r->o->json)
        page_foot(r->results, r->printed, r->n, seconds);
    return r->o->json ? page_json(r->tests, r->results, r->printed, seconds, e) : OK;
}

int selftest_run(int *verdict, const struct selftest_options *o, struct err *e)
{
    struct run r = { .o = o };
    struct sigaction on = { .sa_handler = interrupt };
    int rc = choose(&r, e);

    *verdict = SELFTEST_HOLDS;
    if (rc == OK && o->list) {
        for (size_t i = 0; i < r.n; i++)
            page_name(r.tests[i]);
    } else if (rc == OK && (rc = make_folder(r.folder, e)) == OK) {
        sigaction(SIGINT, &on, NULL); /* without SA_RESTART: waitpid returns */
        sigaction(SIGTERM, &on, NULL);
        rc = run_and_print(verdict, &r, e);
        remove_folder(r.folder);
    }
    free(r.tests);
    free(r.results);
    free(r.children);
    return rc;
}
