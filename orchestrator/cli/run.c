#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "orchestrator/cli/crew.h"
#include "orchestrator/cli/embedded.h"
#include "orchestrator/cli/follow.h"
#include "orchestrator/cli/signals.h"
#include "orchestrator/cli/submission.h"
#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "proto/clock.h"
#include "proto/json.h"
#include "store/state.h"

/* `jielong run`: whatever it takes to get a pipeline to its end. Either this process has an
 * orchestrator and workers of its own (embedded), or one that holds the home already is used
 * (joined). When that one goes away, this process takes its place. */

#define POLL_MS 200
#define ANSWER_MS 30000
#define KNOCK_MS 500 /* a living orchestrator answers within this */
#define KNOCKS 60    /* so often is asked before we give up */
#define RUN_NAME 96

struct running {
    struct command_line *l;
    struct option_texts settings;
    uint32_t workers, threads;
    bool detach, plain;
    char url[HOME_URL], run[RUN_NAME];
    struct embedded *embedded; /* NULL: joined */
    struct view *view;
    struct follow *follow;
    int signals;
    int name_fd; /* the run's name is written here; -1: nobody waits for it */
};

/* ---- an orchestrator ---- */

static bool answers(const struct running *r)
{
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    WorkersRequest q = WORKERS_REQUEST__INIT;
    struct client *c = NULL;
    struct err e = ERR_INIT;
    int rc = client_open(&c, r->url, &e);

    m.kind_case = ENVELOPE__KIND_WORKERS_REQUEST;
    m.workers_request = &q;
    if (rc == OK)
        rc = client_ask(c, &m, &reply, KNOCK_MS, &e);
    message_free(reply);
    client_close(c);
    return rc == OK;
}

/* Joins the orchestrator that holds the home, or starts one. One that is about to end holds it a
 * little longer, but answers no more. */
static int get_orchestrator(struct running *r, struct err *e)
{
    struct embedded_options o = { .home = r->l->home,
        .program = r->l->program,
        .workers = (int)r->workers,
        .threads = (int)r->threads };
    int rc = E_BUSY;

    for (int i = 0; i < KNOCKS && rc == E_BUSY; i++) {
        if (!state_orchestrator_alive(r->l->home))
            rc = embedded_start(&r->embedded, &o, e);
        else if (answers(r))
            rc = OK;
    }
    if (rc == E_BUSY)
        return err_set(e, E_IO, "an orchestrator holds %s but does not answer", r->l->home);
    if (rc == OK && !r->embedded)
        fprintf(stderr, "an orchestrator is at work in %s: it runs this, with its workers\n",
            r->l->home);
    return rc;
}

/* Keeps our orchestrator going, or steps in for the one that we joined. */
static int keep_orchestrator(struct running *r, int64_t now, struct err *e)
{
    int rc;

    if (r->embedded) {
        rc = embedded_look_after(r->embedded, now, e);
        if (rc != E_BUSY)
            return rc;
        embedded_end(r->embedded);
        r->embedded = NULL;
        return OK;
    }
    if (!view_deserted(r->view, now))
        return OK;
    follow_pause(r->follow);
    fprintf(stderr, "the orchestrator that was at work in %s is gone: going on without it\n",
        r->l->home);
    return get_orchestrator(r, e);
}

/* ---- going on where an earlier call was interrupted ---- */

struct looking {
    const Submit *submit;
    char *run;         /* out: of the same submission, "" : none */
    struct buf others; /* names of other unfinished runs */
};

static bool same_submission(const Submit *a, const Submit *b)
{
    struct id x, y;
    struct err e = ERR_INIT;

    return message_id(&x, &a->base, &e) == OK && message_id(&y, &b->base, &e) == OK &&
           id_equal(&x, &y);
}

static int look_at_run(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct looking *k = ctx;
    const RunRecord *r = (const RunRecord *)m;
    bool open = r->state == RUN_STATE__RUN_RUNNING;
    int rc = OK;

    (void)key;
    if (open && !*k->run && r->submit && same_submission(r->submit, k->submit))
        snprintf(k->run, RUN_NAME, "%s", r->name);
    else if (open)
        rc = buf_printf(&k->others, "%s%s", k->others.n ? ", " : "", r->name);
    message_free(m);
    return rc == OK ? OK : err_set(e, E_NOMEM, "out of memory");
}

static int find_unfinished(struct running *r, const Submit *submit, struct err *e)
{
    struct looking k = { submit, r->run, { 0 } };
    struct state *s = NULL;
    struct state_txn *t = NULL;
    int rc = state_open(&s, r->l->home, false, e);

    if (rc == OK)
        rc = state_begin(&t, s, false, e);
    if (rc == OK)
        rc = state_each(t, STATE_RUN, (struct state_key){ .n = 0 }, true, &run_record__descriptor,
            look_at_run, &k, e);
    if (rc >= OK && k.others.n && r->embedded)
        fprintf(stderr,
            "unfinished before, and going on beside it: %s\n"
            "  = help: `jielong cancel RUN%s` ends a run for good\n",
            k.others.p, r->l->home_option);
    buf_free(&k.others);
    state_abort(t);
    state_close(s);
    return rc < OK ? rc : OK;
}

static int submit_new(struct running *r, Submit *submit, struct err *e)
{
    struct client *c = NULL;
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    int rc = client_open(&c, r->url, e);

    m.kind_case = ENVELOPE__KIND_SUBMIT;
    m.submit = submit;
    if (rc == OK)
        rc = client_ask(c, &m, &reply, ANSWER_MS, e);
    if (rc == OK && reply->kind_case != ENVELOPE__KIND_SUBMITTED)
        rc = err_set(
            e, E_PROTOCOL, "the orchestrator answers with a '%s'", message_kind(&reply->base));
    if (rc == OK)
        snprintf(r->run, sizeof r->run, "%s", reply->submitted->run);
    message_free(reply);
    client_close(c);
    return rc;
}

static int submit_or_continue(struct running *r, Submit *submit, struct err *e)
{
    int rc = find_unfinished(r, submit, e);

    if (rc == OK && *r->run)
        fprintf(stderr, "%s goes on\n", r->run);
    else if (rc == OK)
        rc = submit_new(r, submit, e);
    if (rc == OK && r->name_fd >= 0) {
        ssize_t n = write(r->name_fd, r->run, strlen(r->run));
        (void)n; /* nobody may be left to hear it */
        close(r->name_fd);
        r->name_fd = -1;
    }
    return rc;
}

/* ---- in the foreground ---- */

static int follow_to_end(struct running *r, enum follow_end *end, bool *interrupted, struct err *e)
{
    int rc = follow_look(r->follow, clock_ms(), end, e);

    while (rc == OK && *end == FOLLOW_GOES_ON && !*interrupted) {
        *interrupted = signals_wait(r->signals, POLL_MS);
        if (*interrupted)
            break;
        int64_t now = clock_ms();
        rc = keep_orchestrator(r, now, e);
        if (rc == OK)
            rc = follow_look(r->follow, now, end, e);
    }
    return rc;
}

static int run_in_foreground(struct running *r, Submit *submit)
{
    struct err e = ERR_INIT;
    enum follow_end end = FOLLOW_GOES_ON;
    bool interrupted = false;
    int rc = submission_take_inputs(submit, r->l->home, &e);

    if (rc == OK)
        rc = signals_open(&r->signals, &e);
    if (rc == OK)
        rc = home_url(r->url, r->l->home, &e);
    if (rc == OK)
        rc = get_orchestrator(r, &e);
    if (rc == OK)
        rc = submit_or_continue(r, submit, &e);
    if (rc == OK)
        rc = view_open(&r->view, r->l->home, NULL, &e);
    if (rc == OK)
        rc = follow_open(&r->follow, r->l, r->view, r->run, r->plain, &e);
    if (rc == OK)
        rc = follow_to_end(r, &end, &interrupted, &e);
    if (rc == OK && interrupted) {
        follow_pause(r->follow);
        fprintf(stderr,
            r->embedded ? "interrupted; the same command goes on with %s\n"
                        : "left; %s goes on without this command\n",
            r->run);
    }
    embedded_end(r->embedded);
    if (rc == OK && !interrupted)
        rc = follow_finish(r->follow, &e);
    follow_close(r->follow);
    view_close(r->view);
    if (rc != OK)
        return complain(&e);
    return interrupted ? EXIT_INTERRUPTED : end == FOLLOW_DONE ? EXIT_DONE : EXIT_RUN_FAILED;
}

/* ---- in the background ---- */

/* In a session of its own, with what it says in HOME/logs/run.log. */
static int become_background(struct running *r, Submit *submit, int name_fd)
{
    char path[HOME_PATH];
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), log, exit_code;

    snprintf(path, sizeof path, "%s/logs/run.log", r->l->home);
    log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (setsid() < 0 || null < 0 || log < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        return EXIT_IO_ERROR;
    r->name_fd = name_fd;
    r->plain = true;
    r->l->color = false;
    exit_code = run_in_foreground(r, submit);
    fflush(NULL);
    return exit_code;
}

static int tell_background(const struct running *r, const char *run)
{
    struct buf text = { 0 };
    int rc = OK;

    if (r->l->json) {
        rc = buf_printf(&text, "{\"schema\": 1, \"run\": ");
        if (rc == OK)
            rc = json_string(&text, run, strlen(run));
        if (rc == OK)
            rc = buf_printf(&text, "}\n");
    } else {
        const char *home = r->l->home_option;
        rc = buf_printf(&text,
            "%s runs in the background\n  `jielong watch %s%s` follows it, `jielong cancel %s%s` "
            "ends it\n",
            run, run, home, run, home);
    }
    if (rc == OK)
        fputs(text.p, stdout);
    buf_free(&text);
    return rc == OK ? EXIT_DONE : EXIT_INTERNAL;
}

static int make_log_folder(const char *home, struct err *e)
{
    char path[HOME_PATH];

    if (mkdir(home, 0700) != 0 && errno != EEXIST)
        return err_errno(e, "%s", home);
    snprintf(path, sizeof path, "%s/logs", home);
    return mkdir(path, 0700) == 0 || errno == EEXIST ? OK : err_errno(e, "%s", path);
}

static int run_in_background(struct running *r, Submit *submit)
{
    char name[RUN_NAME] = "";
    int fds[2] = { -1, -1 }, status = 0;
    struct err e = ERR_INIT;
    size_t n = 0;
    ssize_t got;
    int rc = make_log_folder(r->l->home, &e);

    if (rc == OK && pipe2(fds, O_CLOEXEC) != 0)
        rc = err_errno(&e, "going to the background");
    fflush(NULL);
    pid_t pid = rc == OK ? fork() : -1;
    if (pid == 0)
        _exit(become_background(r, submit, fds[1]));
    if (rc == OK && pid < 0)
        rc = err_errno(&e, "going to the background");
    if (rc != OK)
        return complain(&e);
    close(fds[1]);
    while (n < sizeof name - 1 && (got = read(fds[0], name + n, sizeof name - 1 - n)) != 0)
        if (got > 0)
            n += (size_t)got;
        else if (errno != EINTR)
            break;
    close(fds[0]);
    if (n > 0)
        return tell_background(r, name);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    fprintf(stderr, "error: it ended before it began; %s/logs/run.log says why\n", r->l->home);
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_INTERNAL;
}

int run_command(struct command_line *l)
{
    static struct running r = { .workers = 1, .signals = -1, .name_fd = -1 };
    const struct option_row rows[] = {
        { "workers", 'w', OPTION_COUNT, &r.workers, "N", "how many workers (default 1)", 1,
            CREW_MAX, NULL },
        { "threads", 't', OPTION_COUNT, &r.threads, "N",
            "of each worker (default: the cores are shared out)", 0, 1024, NULL },
        SUBMISSION_SET(&r.settings),
        { "detach", 'd', OPTION_FLAG, &r.detach, NULL, "go on in the background", 0, 0, NULL },
        { "plain", 0, OPTION_FLAG, &r.plain, NULL,
            "one line of key=value for each event, even on a terminal", 0, 0, NULL },
    };
    Submit *submit = NULL;
    int exit_code = EXIT_DONE;

    if (!command_begin(l, rows, sizeof rows / sizeof *rows, 1, 1))
        return l->exit_code;
    r.l = l;
    if (submission_load(&submit, l->args[0], &r.settings, NULL, &exit_code) == OK)
        exit_code = r.detach ? run_in_background(&r, submit) : run_in_foreground(&r, submit);
    message_free(submit);
    return exit_code;
}
