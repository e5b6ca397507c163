#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/embedded.h"
#include "orchestrator/cli/follow.h"
#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "proto/clock.h"
#include "store/state.h"

extern char **environ;

#define POLL_MS 200
#define ANSWER_MS 30000

struct running {
    const struct command_line *l;
    struct submission s;
    int workers, threads;
    bool detach;
    char run[96];
    struct embedded *embedded;  /* NULL: another process's orchestrator is used */
    int signals;
};

static void take_workers(void *ctx, const char *value)
{
    ((struct running *)ctx)->workers = atoi(value);
}

static void take_threads(void *ctx, const char *value)
{
    ((struct running *)ctx)->threads = atoi(value);
}

static void take_detach(void *ctx, const char *value)
{
    (void)value;
    ((struct running *)ctx)->detach = true;
}

static void take_set(void *ctx, const char *value)
{
    take_setting(&((struct running *)ctx)->s, value);
}

static const struct option_rule rules[] = {
    { "workers", true, take_workers }, { "threads", true, take_threads },
    { "detach", false, take_detach }, { "set", true, take_set },
};

/* ---- going on where an earlier call was interrupted ---- */

struct looking {
    const Submit *submit;
    char *run; /* out */
};

static bool same_submission(const Submit *a, const Submit *b)
{
    struct id x, y;
    struct err e = ERR_INIT;

    return message_id(&x, &a->base, &e) == OK && message_id(&y, &b->base, &e) == OK && id_equal(&x, &y);
}

static int look_at_run(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct looking *k = ctx;
    const RunRecord *r = (const RunRecord *)m;
    bool found = r->state == RUN_STATE__RUN_RUNNING && r->submit && same_submission(r->submit, k->submit);

    (void)key;
    (void)e;
    if (found)
        snprintf(k->run, 96, "%s", r->name);
    message_free(m);
    return found;
}

static int find_unfinished(struct running *r, const Submit *submit, struct err *e)
{
    struct looking k = { submit, r->run };
    struct state *s = NULL;
    struct state_txn *t = NULL;
    int rc = state_open(&s, r->l->home, false, e);

    if (rc == OK)
        rc = state_begin(&t, s, false, e);
    if (rc == OK)
        rc = state_each(t, STATE_RUN, (struct state_key){ .n = 0 }, true, &run_record__descriptor,
            look_at_run, &k, e);
    state_abort(t);
    state_close(s);
    return rc;
}

static int submit_to(char run[96], const char *url, Submit *submit, struct err *e)
{
    struct client *c = NULL;
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    int rc = client_open(&c, url, e);

    m.kind_case = ENVELOPE__KIND_SUBMIT;
    m.submit = submit;
    if (rc == OK)
        rc = client_ask(c, &m, &reply, ANSWER_MS, e);
    if (rc == OK && reply->kind_case != ENVELOPE__KIND_SUBMITTED)
        rc = err_set(e, E_PROTOCOL, "the orchestrator answered with a '%s'", message_kind(&reply->base));
    if (rc == OK)
        snprintf(run, 96, "%s", reply->submitted->run);
    message_free(reply);
    client_close(c);
    return rc;
}

/* ---- to the end ---- */

static int handle_signals(struct running *r, bool *interrupted)
{
    struct signalfd_siginfo s;

    while (read(r->signals, &s, sizeof s) == sizeof s)
        if (s.ssi_signo != SIGCHLD)
            *interrupted = true;
    return OK;
}

static int follow_to_end(struct running *r, struct follow *f, enum follow_end *end, bool *interrupted,
    struct err *e)
{
    int rc = OK;

    *end = FOLLOW_GOES_ON;
    while (rc == OK && *end == FOLLOW_GOES_ON && !*interrupted) {
        struct pollfd p = { r->signals, POLLIN, 0 };
        if (poll(&p, 1, POLL_MS) > 0)
            handle_signals(r, interrupted);
        int64_t now = clock_ms();
        if (r->embedded && !*interrupted)
            rc = embedded_look_after(r->embedded, now, e);
        if (rc == OK && !*interrupted)
            rc = follow_look(f, now, end, e);
    }
    return rc;
}

static int start(struct running *r, struct err *e)
{
    struct embedded_options o = { r->l->home, r->l->program, r->workers, r->threads };

    if (state_orchestrator_alive(r->l->home)) {
        fprintf(stderr, "an orchestrator is at work in %s: using it\n", r->l->home);
        return OK;
    }
    return embedded_start(&r->embedded, &o, e);
}

static int submit_or_continue(struct running *r, Submit *submit, struct err *e)
{
    char url[HOME_URL];
    int rc = home_url(url, r->l->home, e);

    if (rc == OK)
        rc = find_unfinished(r, submit, e);
    if (rc == OK && *r->run)
        fprintf(stderr, "continuing %s\n", r->run);
    else if (rc == OK)
        rc = submit_to(r->run, url, submit, e);
    return rc;
}

static void block_signals(struct running *r)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run_in_foreground(struct running *r, Submit *submit)
{
    struct follow *f = NULL;
    struct err e = ERR_INIT;
    enum follow_end end = FOLLOW_GOES_ON;
    bool interrupted = false;

    block_signals(r);
    int rc = start(r, &e);
    if (rc == OK)
        rc = submit_or_continue(r, submit, &e);
    if (rc == OK)
        rc = follow_open(&f, r->l->home, r->run, r->l->json, r->l->color, &e);
    if (rc == OK)
        rc = follow_to_end(r, f, &end, &interrupted, &e);
    embedded_end(r->embedded);
    if (rc == OK && interrupted)
        fprintf(stderr, "\ninterrupted: the same command continues %s\n", r->run);
    if (rc == OK && !interrupted)
        rc = follow_finish(f, &e);
    follow_close(f);
    if (rc != OK)
        return complain(&e);
    return interrupted ? EXIT_INTERRUPTED : end == FOLLOW_DONE ? EXIT_DONE : EXIT_RUN_FAILED;
}

/* The same command in a session of its own, its output in HOME/logs/run.log. */
static int run_in_background(const struct command_line *l)
{
    char self[4096], log[4200];
    char *argv[256] = { self, "run", "--home", (char *)(uintptr_t)l->home };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int n = 4;
    pid_t pid;

    snprintf(self, sizeof self, "%s/jielong", l->program);
    for (int i = 0; i < l->n && n < 255; i++)
        if (strcmp(l->args[i], "--detach") != 0)
            argv[n++] = l->args[i];
    snprintf(log, sizeof log, "%s/logs", l->home);
    mkdir(l->home, 0700);
    mkdir(log, 0700);
    snprintf(log, sizeof log, "%s/logs/run.log", l->home);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    int failed = posix_spawn(&pid, self, &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (failed) {
        fprintf(stderr, "error: starting %s: %s\n", self, strerror(failed));
        return EXIT_IO_ERROR;
    }
    printf("runs in the background (process %d); `jielong status` shows it, %s what it says\n", (int)pid, log);
    return EXIT_DONE;
}

int run_command(const struct command_line *l)
{
    static struct running r = { .workers = 1 };
    const char *file[1];
    Submit *submit = NULL;
    struct err e = ERR_INIT;
    int exit_code = EXIT_DONE;
    char **args = malloc(((size_t)l->n + 1) * sizeof *args); /* --set cuts its arguments in two */

    r.l = l;
    for (int i = 0; args && i < l->n; i++)
        args[i] = strdup(l->args[i]);
    struct command_line copy = *l;
    copy.args = args;
    if (!args || parse_options(&copy, "run", rules, 4, &r, file, 1) != 1)
        return l->n ? EXIT_USAGE : usage("run", "which pipeline file?");
    if (r.workers < 1 || r.threads < 0)
        return usage("run", "--workers is at least 1, --threads at least 0");
    r.s.file = file[0];
    if (load_pipeline(&submit, &r.s, &exit_code) != OK)
        return exit_code;
    if (r.detach) {
        exit_code = run_in_background(l);
    } else {
        int rc = take_inputs(submit, l->home, &e);
        exit_code = rc == OK ? run_in_foreground(&r, submit) : complain(&e);
    }
    message_free(submit);
    return exit_code;
}
