#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/table.h"
#include "orchestrator/cli/view.h"
#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "orchestrator/web/exposition.h"
#include "orchestrator/web/http.h"
#include "proto/log.h"

/* `jielong web`: what there is to see, for browsers and for Prometheus. Nothing can be changed
 * here.
 */

#define ANSWER_MS 2000
#define PAGE_COLUMNS 120

struct pages {
    const char *home, *connect; /* connect: NULL: the home's own orchestrator */
    char url[HOME_URL];
    struct client *client; /* NULL: not yet asked, or it did not answer */
};

/* Asks anew over a new connection after every silence: there may be another orchestrator now. */
static int ask(struct pages *p, Envelope *m, Envelope **reply, struct err *e)
{
    int rc = p->client ? OK : client_open(&p->client, p->url, e);

    if (rc == OK)
        rc = client_ask(p->client, m, reply, ANSWER_MS, e);
    if (rc != OK) {
        client_close(p->client);
        p->client = NULL;
    }
    return rc;
}

static int ask_stats(struct pages *p, Envelope **reply, struct err *e)
{
    Envelope m = ENVELOPE__INIT;
    StatsRequest q = STATS_REQUEST__INIT;
    int rc;

    m.kind_case = ENVELOPE__KIND_STATS_REQUEST;
    m.stats_request = &q;
    rc = ask(p, &m, reply, e);
    if (rc == OK && (*reply)->kind_case != ENVELOPE__KIND_STATS) {
        message_free(*reply);
        *reply = NULL;
        rc = err_set(e, E_PROTOCOL, "the orchestrator answers something else");
    }
    return rc;
}

static void get_metrics(void *ctx, struct http_answer *out)
{
    struct err e = ERR_INIT;
    Envelope *reply = NULL;
    const Stats *s = ask_stats(ctx, &reply, &e) == OK ? reply->stats : NULL;

    out->type = EXPOSITION_TYPE;
    if (exposition(&out->body, s) != OK)
        out->status = 503;
    message_free(reply);
}

static void get_health(void *ctx, struct http_answer *out)
{
    struct err e = ERR_INIT;
    Envelope *reply = NULL;
    int rc = ask_stats(ctx, &reply, &e);

    out->status = rc == OK ? 200 : 503;
    if (buf_printf(&out->body, "%s\n", rc == OK ? "ok" : e.msg) != OK)
        out->status = 503;
    message_free(reply);
}

/* ---- the status page ---- */

static int add_escaped(struct buf *out, const char *text)
{
    int rc = OK;

    for (; *text && rc == OK; text++)
        rc = *text == '<'   ? buf_printf(out, "&lt;")
             : *text == '&' ? buf_printf(out, "&amp;")
                            : buf_add(out, text, 1);
    return rc;
}

static int add_status(struct buf *text, struct pages *p, struct err *e)
{
    struct table_style style = { PAGE_COLUMNS, false, "" };
    struct view *v = NULL;
    struct target t = { 0 };
    StatusReply *all = NULL;
    int rc = view_open(&v, p->home, p->connect, e);

    if (rc == OK)
        rc = view_target(&t, v, "", e);
    if (rc == OK && !p->connect)
        view_workers(t.run, v);
    if (rc == OK)
        rc = table_run(text, t.run, &style);
    if (rc == OK)
        rc = view_runs(&all, v, e);
    if (rc == OK)
        rc = buf_printf(text, "\n");
    if (rc == OK)
        rc = table_runs(text, all, &style);
    message_free(all);
    message_free(t.run);
    view_close(v);
    return rc;
}

static void get_page(void *ctx, struct http_answer *out)
{
    struct buf text = { 0 };
    struct err e = ERR_INIT;
    int rc = add_status(&text, ctx, &e);

    out->type = "text/html; charset=utf-8";
    if (buf_printf(&out->body,
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
            "<meta http-equiv=\"refresh\" content=\"5\">\n<title>Jielong</title>\n"
            "<style>body{font-family:system-ui;margin:2em}pre{font-size:14px;overflow:auto}</"
            "style>\n"
            "<h1>Jielong 接龙</h1>\n<pre>") != OK ||
        add_escaped(&out->body, rc == OK && text.p ? text.p : e.msg) != OK ||
        buf_printf(&out->body, "</pre>\n<p><a href=\"/metrics\">metrics</a></p>\n</html>\n") != OK)
        out->status = 503;
    buf_free(&text);
}

/* ---- the command ---- */

static int signals(struct err *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_errno(e, "signals");
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : err_errno(e, "signals");
}

int web_command(struct command_line *l)
{
    static const struct http_route routes[] = {
        { "/", get_page },
        { "/metrics", get_metrics },
        { "/healthz", get_health },
    };
    const char *listen = "127.0.0.1:8080";
    struct pages p = { .connect = NULL };
    const struct option_row rows[] = {
        { "listen", 0, OPTION_TEXT, &listen, "HOST:PORT",
            "where (default 127.0.0.1:8080). Off this host everyone who can connect can read", 0, 0,
            NULL },
        { "connect", 0, OPTION_TEXT, &p.connect, "URL",
            "the orchestrator's (default: the home's own)", 0, 0, NULL },
    };
    struct http *h = NULL;
    struct err e = ERR_INIT;
    int stop, rc = OK;

    if (!command_begin(l, rows, sizeof rows / sizeof *rows, 0, 0))
        return l->exit_code;
    log_setup("web", LOG_INFO);
    p.home = l->home;
    if (p.connect)
        snprintf(p.url, sizeof p.url, "%s", p.connect);
    else
        rc = home_url(p.url, l->home, &e);
    stop = rc == OK ? signals(&e) : rc;
    if (stop < 0)
        return complain(&e);
    rc = http_open(&h, listen, routes, sizeof routes / sizeof *routes, &p, &e);
    if (rc == OK && !http_is_local(h))
        log_warn("%s can be read by everyone who can connect", http_url(h));
    if (rc == OK) {
        printf("%s\n", http_url(h));
        fflush(stdout);
        rc = http_run(h, stop, &e);
    }
    http_close(h);
    client_close(p.client);
    close(stop);
    return rc == OK ? EXIT_DONE : complain(&e);
}
