#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/daemon.h"
#include "orchestrator/status.h"
#include "proto/log.h"

/* Commands that become another program: the orchestrator here, the rest jielong-worker. */

struct daemon_line {
    struct daemon_options o;
    bool die_with_parent;
};

static void take_listen(void *ctx, const char *value)
{
    ((struct daemon_line *)ctx)->o.listen = value;
}

static void take_ready_fd(void *ctx, const char *value)
{
    ((struct daemon_line *)ctx)->o.ready_fd = atoi(value);
}

static void take_die(void *ctx, const char *value)
{
    (void)value;
    ((struct daemon_line *)ctx)->die_with_parent = true;
}

static const struct option_rule rules[] = {
    { "listen", true, take_listen }, { "ready-fd", true, take_ready_fd },
    { "die-with-parent", false, take_die },
};

int orchestrator_command(const struct command_line *l)
{
    struct daemon_line d = { .o = { .home = l->home, .stop_fd = -1, .ready_fd = -1 } };
    struct err e = ERR_INIT;

    if (parse_options(l, "orchestrator", rules, 3, &d, NULL, 0) < 0)
        return EXIT_USAGE;
    if (d.die_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() == 1)
            return EXIT_INTERRUPTED;
    }
    log_setup("orchestrator", LOG_INFO);
    return daemon_run(&d.o, &e) == OK ? EXIT_DONE : complain(&e);
}

static int become(const struct command_line *l, char **argv)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/jielong-worker", l->program);
    execv(path, argv);
    fprintf(stderr, "error: %s does not start: it should stand beside jielong\n", path);
    return EXIT_INTERNAL;
}

static bool given(const struct command_line *l, const char *option)
{
    size_t n = strlen(option);

    for (int i = 0; i < l->n; i++)
        if (strncmp(l->args[i], option, n) == 0 && (l->args[i][n] == '\0' || l->args[i][n] == '='))
            return true;
    return false;
}

int worker_command(const struct command_line *l)
{
    char url[HOME_URL], name[32];
    char **argv = calloc((size_t)l->n + 10, sizeof *argv);
    struct err e = ERR_INIT;
    int n = 0;

    if (!argv || home_url(url, l->home, &e) != OK)
        return argv ? complain(&e) : EXIT_INTERNAL;
    snprintf(name, sizeof name, "w%d", (int)getpid());
    argv[n++] = "jielong-worker";
    argv[n++] = "worker";
    argv[n++] = "--home";
    argv[n++] = (char *)(uintptr_t)l->home;
    if (!given(l, "--connect")) {
        argv[n++] = "--connect";
        argv[n++] = url;
    }
    if (!given(l, "--name")) {
        argv[n++] = "--name";
        argv[n++] = name;
    }
    for (int i = 0; i < l->n; i++)
        argv[n++] = l->args[i];
    return become(l, argv);
}

static int find_checkpoint(const char *home, const char *what, char hex[ID_HEX], struct err *e)
{
    struct state *s = NULL;
    struct state_txn *t = NULL;
    Output *o = NULL;
    struct id id;
    int rc = state_open(&s, home, false, e);

    if (rc == OK)
        rc = state_begin(&t, s, false, e);
    if (rc == OK)
        rc = status_artifact(&o, t, what, "checkpoint", e);
    if (rc == OK && o->kind != ARTIFACT_KIND__CHECKPOINT)
        rc = err_set(e, E_INPUT, "%s is no model", what);
    if (rc == OK && id_from_span(&id, o->id.data, o->id.len))
        id_hex(hex, &id);
    message_free(o);
    state_abort(t);
    state_close(s);
    return rc;
}

int generate_command(const struct command_line *l)
{
    char hex[ID_HEX] = "";
    char **argv = calloc((size_t)l->n + 10, sizeof *argv);
    struct err e = ERR_INIT;
    int n = 0, first = l->n && strncmp(l->args[0], "--", 2) != 0;

    if (!argv)
        return EXIT_INTERNAL;
    if (!first)
        return usage("generate", "which model? e.g. chat, or quickstart-1/chat");
    if (!given(l, "--prompt"))
        return usage("generate", "--prompt TEXT is missing");
    if (find_checkpoint(l->home, l->args[0], hex, &e) != OK)
        return complain(&e);
    argv[n++] = "jielong-worker";
    argv[n++] = "generate";
    argv[n++] = "--home";
    argv[n++] = (char *)(uintptr_t)l->home;
    argv[n++] = "--checkpoint";
    argv[n++] = hex;
    if (l->json)
        argv[n++] = "--json";
    for (int i = 1; i < l->n; i++)
        argv[n++] = l->args[i];
    return become(l, argv);
}
