#include "orchestrator/cli/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "orchestrator/cli/region.h"
#include "orchestrator/cli/report.h"
#include "orchestrator/cli/show.h"
#include "orchestrator/cli/table.h"
#include "proto/clock.h"
#include "proto/json.h"

#define HEARTBEAT_MS 30000
#define NEWS_MAX 200 /* lines of the orchestrator that are shown at once */
#define LAST_LINES 50

struct follow {
    const struct command_line *l;
    struct view *v;
    char run[96];
    bool terminal, color;
    RunStatus *last; /* NULL: nothing was seen yet */
    uint64_t line;   /* number of the last log line seen */
    int64_t beat;
    struct region region;
};

static bool is_terminal(void)
{
    const char *term = getenv("TERM"), *accessible = getenv("ACCESSIBLE");

    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0 &&
           !(accessible && strcmp(accessible, "1") == 0);
}

int follow_open(struct follow **out, const struct command_line *l, struct view *v, const char *run,
    bool plain, struct err *e)
{
    struct follow *f = calloc(1, sizeof *f);

    if (!f)
        return err_set(e, E_NOMEM, "out of memory");
    f->l = l;
    f->v = v;
    snprintf(f->run, sizeof f->run, "%s", run);
    f->terminal = !plain && is_terminal();
    f->color = f->terminal && !getenv("NO_COLOR");
    f->line = UINT64_MAX; /* not known yet */
    *out = f;
    return OK;
}

void follow_close(struct follow *f)
{
    if (!f)
        return;
    follow_pause(f);
    message_free(f->last);
    region_free(&f->region);
    free(f);
}

/* ---- writing ---- */

static void put(struct buf *b)
{
    for (size_t done = 0; b->p && done < b->n;) {
        ssize_t n = write(STDERR_FILENO, b->p + done, b->n - done);
        if (n <= 0)
            break; /* nobody looks any more; the run goes on */
        done += (size_t)n;
    }
    buf_free(b);
}

/* Says whole lines; takes them. */
static void say(struct follow *f, struct buf *lines)
{
    struct buf out = { 0 };

    if (f->terminal && region_say(&f->region, &out, lines->p) == OK) {
        buf_free(lines);
        put(&out);
    } else {
        put(lines);
    }
}

static void terminal_size(int *rows, int *columns)
{
    struct winsize w = { 0 };

    *rows = 24;
    *columns = 80;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0) {
        *rows = w.ws_row;
        *columns = w.ws_col;
    }
}

static void draw(struct follow *f, const char *text)
{
    struct buf out = { 0 };
    int rows, columns;

    if (!f->terminal)
        return;
    terminal_size(&rows, &columns);
    if (region_draw(&f->region, &out, text, rows / 3 > 1 ? rows / 3 : 1, columns - 1) == OK)
        put(&out);
    buf_free(&out);
}

void follow_pause(struct follow *f)
{
    draw(f, "");
}

/* ---- what is new ---- */

static bool is_in(const JobStatus *j, const char *const *states, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(j->state, states[i]) == 0)
            return true;
    return false;
}

/* On a terminal what starts is seen in the region. */
static bool worth_a_line(const struct follow *f, const JobStatus *j)
{
    static const char *const states[] = { "done", "failed", "cancelled", "waiting_for_people",
        "running" };

    return is_in(j, states, f->terminal ? 4 : 5);
}

static void tell_changes(struct follow *f, const RunStatus *s)
{
    int64_t now = clock_unix_ms();

    for (size_t i = 0; i < s->n_jobs; i++) {
        const JobStatus *j = s->jobs[i];
        const JobStatus *before = f->last && i < f->last->n_jobs ? f->last->jobs[i] : NULL;
        struct buf line = { 0 };
        if (!worth_a_line(f, j) || (before && strcmp(before->state, j->state) == 0))
            continue;
        int rc = f->terminal ? show_verdict(&line, j, now, f->color) : show_event(&line, s, j, now);
        if (rc == OK && buf_printf(&line, "\n") == OK)
            say(f, &line);
        buf_free(&line);
    }
}

/* What the orchestrator has to say of attempts: failed, given again, answered twice. */
static void tell_news(struct follow *f)
{
    LogsRequest q = LOGS_REQUEST__INIT;
    LogsReply *reply = NULL;
    struct err e = ERR_INIT;
    bool first = f->line == UINT64_MAX; /* what was said before we looked is not news */

    q.run = f->run;
    q.has_tail = q.has_after = true;
    q.tail = first ? 1 : NEWS_MAX;
    q.after = first ? 0 : f->line;
    if (view_logs(&reply, f->v, &q, &e) != OK)
        return;
    for (size_t i = 0; i < reply->n_lines && !first; i++) {
        const LogLine *line = reply->lines[i];
        struct buf text = { 0 };
        if (!line->worker || strcmp(line->worker, "orchestrator") != 0)
            continue;
        if (show_log_line(&text, line, f->terminal) == OK && buf_printf(&text, "\n") == OK)
            say(f, &text);
        buf_free(&text);
    }
    f->line = reply->next;
    message_free(reply);
}

static int working_text(struct buf *out, const struct follow *f, const RunStatus *s)
{
    static const char *const states[] = { "running", "ready", "waiting_for_people" };
    size_t done = 0, blocked = 0;
    int rc = OK;

    for (size_t i = 0; i < s->n_jobs && rc == OK; i++) {
        done += strcmp(s->jobs[i]->state, "done") == 0;
        blocked += strcmp(s->jobs[i]->state, "blocked") == 0;
        if (!is_in(s->jobs[i], states, 3))
            continue;
        rc = buf_printf(out, " ");
        if (rc == OK)
            rc = show_working(out, s->jobs[i]);
        if (rc == OK)
            rc = buf_printf(out, "\n");
    }
    if (rc == OK)
        rc = buf_printf(out, " %s  %zu/%zu jobs done", f->run, done, s->n_jobs);
    if (rc == OK && blocked > 0)
        rc = buf_printf(out, ", %zu blocked", blocked);
    return rc == OK ? buf_printf(out, "\n") : rc;
}

static void show_region(struct follow *f, const RunStatus *s)
{
    struct buf text = { 0 };

    if (working_text(&text, f, s) == OK)
        draw(f, text.p);
    buf_free(&text);
}

static void heartbeat(struct follow *f, const RunStatus *s, int64_t now_ms)
{
    static const char *const states[] = { "running", "ready", "waiting_for_people" };

    if (now_ms - f->beat < HEARTBEAT_MS)
        return;
    f->beat = now_ms;
    for (size_t i = 0; i < s->n_jobs; i++) {
        struct buf line = { 0 };
        if (is_in(s->jobs[i], states, 3) &&
            show_event(&line, s, s->jobs[i], clock_unix_ms()) == OK &&
            buf_printf(&line, "\n") == OK)
            say(f, &line);
        buf_free(&line);
    }
}

int follow_look(struct follow *f, int64_t now_ms, enum follow_end *end, struct err *e)
{
    RunStatus *s = NULL;
    int rc = view_run(&s, f->v, f->run, e);

    if (rc != OK)
        return rc;
    if (!f->last)
        f->beat = now_ms;
    tell_news(f);
    tell_changes(f, s);
    if (strcmp(s->state, "done") == 0)
        *end = FOLLOW_DONE;
    else if (strcmp(s->state, "failed") == 0 || strcmp(s->state, "cancelled") == 0)
        *end = FOLLOW_FAILED;
    if (f->terminal)
        show_region(f, s);
    else
        heartbeat(f, s, now_ms);
    message_free(f->last);
    f->last = s;
    return OK;
}

/* ---- the end ---- */

static void tell_failures(struct follow *f, const RunStatus *s)
{
    for (size_t i = 0; i < s->n_jobs; i++) {
        LogsRequest q = LOGS_REQUEST__INIT;
        LogsReply *log = NULL;
        struct err e = ERR_INIT;
        struct buf text = { 0 };
        if (strcmp(s->jobs[i]->state, "failed") != 0)
            continue;
        q.run = f->run;
        q.job = s->jobs[i]->name;
        q.has_tail = true;
        q.tail = LAST_LINES;
        if (view_logs(&log, f->v, &q, &e) != OK)
            log = NULL;
        if (show_failure(&text, s, s->jobs[i], log, f->l->home_option) == OK)
            put(&text);
        buf_free(&text);
        message_free(log);
    }
}

int follow_finish(struct follow *f, struct err *e)
{
    struct table_style style = { stdout_columns(), f->l->color, f->l->home_option };
    struct buf text = { 0 };
    RunStatus *s = NULL;
    int rc = view_run(&s, f->v, f->run, e);

    follow_pause(f);
    if (rc == OK)
        rc = report_write(s, f->l->home, e);
    if (rc == OK) {
        rc = f->l->json ? json_message(&text, &s->base, true) : table_run(&text, s, &style);
        if (rc != OK)
            err_set(e, rc, "no memory for the status");
    }
    if (rc == OK) {
        printf("%s%s", text.p, f->l->json ? "\n" : "");
        fflush(stdout);
        tell_failures(f, s);
    }
    buf_free(&text);
    message_free(s);
    return rc;
}
