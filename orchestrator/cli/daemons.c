#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/crew.h"
#include "orchestrator/cli/embedded.h"
#include "orchestrator/cli/named.h"
#include "orchestrator/cli/signals.h"
#include "orchestrator/daemon.h"
#include "orchestrator/status.h"
#include "proto/clock.h"
#include "proto/log.h"

/* Commands that become another program: the orchestrator here, the rest jielong-worker. */

#define LOG_ROW(format)                                                                           \
    {                                                                                             \
        "log-format", 0, OPTION_TEXT, format, "FORMAT",                                           \
            "of the log on standard error: text, or json, an object a line (default text)", 0, 0, \
            NULL                                                                                  \
    }

#define LOOK_MS 200
#define NO_WORKERS UINT32_MAX /* nobody said how many: there is no supervisor */

static int make_home(const char *home, struct err *e)
{
    return mkdir(home, 0700) == 0 || errno == EEXIST ? OK : err_errno(e, "%s", home);
}

/* The orchestrator and workers as children of this process, until it is asked to stop. */
static int supervise(const struct embedded_options *o, struct err *e)
{
    struct embedded *b = NULL;
    int signals = -1, rc = make_home(o->home, e);

    if (rc == OK)
        rc = signals_open(&signals, e);
    if (rc == OK)
        rc = embedded_start(&b, o, e);
    while (rc == OK && !signals_wait(signals, LOOK_MS))
        rc = embedded_look_after(b, clock_ms(), e);
    embedded_end(b);
    return rc;
}

int orchestrator_command(struct command_line *l)
{
    struct daemon_options o = { .stop_fd = -1, .ready_fd = -1 };
    const char *format = "text";
    uint32_t ready_fd = 0, parent = 0, workers = NO_WORKERS;
    const struct option_row rows[] = {
        { "listen", 0, OPTION_TEXT, &o.listen, "URL",
            "listen there as well, e.g. tcp://127.0.0.1:5000", 0, 0, NULL },
        { "workers", 'w', OPTION_COUNT, &workers, "N",
            "and look after N workers on this host (`jielong scale` changes N)", 0, CREW_MAX,
            NULL },
        LOG_ROW(&format),
        { "ready-fd", 0, OPTION_COUNT, &ready_fd, "FD", NULL, 3, 1e6, NULL },
        { "end-with", 0, OPTION_COUNT, &parent, "PID", NULL, 1, INT_MAX, NULL },
    };
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, sizeof rows / sizeof *rows, 0, 0))
        return l->exit_code;
    if (!log_format(format))
        return command_usage(l, "--log-format: text or json");
    if (parent) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != (pid_t)parent) /* it has ended already */
            return EXIT_INTERRUPTED;
    }
    log_setup("orchestrator", LOG_INFO);
    if (workers != NO_WORKERS) {
        const struct embedded_options children = { .home = l->home,
            .program = l->program,
            .workers = (int)workers,
            .listen = o.listen,
            .format = format };
        return supervise(&children, &e) == OK ? EXIT_DONE : complain(&e);
    }
    o.home = l->home;
    o.ready_fd = ready_fd ? (int)ready_fd : -1;
    return daemon_run(&o, &e) == OK ? EXIT_DONE : complain(&e);
}

static int become(const struct command_line *l, char **argv)
{
    char path[PATH_MAX + 32];

    snprintf(path, sizeof path, "%s/jielong-worker", l->program);
    execv(path, argv);
    fprintf(
        stderr, "error: %s: %s\n  = help: it should stand beside jielong\n", path, strerror(errno));
    return EXIT_INTERNAL;
}

#define WORDS_MAX 256
#define LABELS_MAX 64

/* The words of another program's command line, NULL-terminated. */
struct words {
    char *items[WORDS_MAX];
    int n;
};

/* So many arguments that they might not fit beside our own. */
static bool too_many(const struct command_line *l)
{
    return l->n > WORDS_MAX - 16;
}

static void add(struct words *w, const char *word)
{
    w->items[w->n++] = (char *)(uintptr_t)word;
}

static void add_option(struct words *w, const char *option, const char *value)
{
    if (!value)
        return;
    add(w, option);
    add(w, value);
}

int worker_command(struct command_line *l)
{
    const char *connect = NULL, *name = NULL, *key = NULL, *cache = NULL, *format = "text";
    struct option_texts labels = { .n = 0 };
    uint32_t threads = 0;
    const struct option_row rows[] = {
        { "connect", 0, OPTION_TEXT, &connect, "URL",
            "the orchestrator's (default: the home's own)", 0, 0, NULL },
        { "name", 0, OPTION_TEXT, &name, "NAME", "what people see (default: w and its process id)",
            0, 0, NULL },
        { "threads", 't', OPTION_COUNT, &threads, "N",
            "to compute with (default: as many as cores)", 0, 1024, NULL },
        { "label", 0, OPTION_TEXTS, &labels, "LABEL",
            "tasks that ask for it come here (resources: {labels: [LABEL]}); may be repeated", 0, 0,
            NULL },
        LOG_ROW(&format),
        { "key", 0, OPTION_TEXT, &key, "FILE",
            "made by `jielong keys new` at the orchestrator, to connect from another host", 0, 0,
            NULL },
        { "cache", 0, OPTION_TEXT, &cache, "MB",
            "of the home's store, when it is not the orchestrator's (default 10240)", 0, 0, NULL },
    };
    char url[HOME_URL], own[32], count[16];
    struct words w = { .n = 0 };
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, sizeof rows / sizeof *rows, 0, 0))
        return l->exit_code;
    if (make_home(l->home, &e) != OK) /* a worker may be there first */
        return complain(&e);
    if (!connect && home_url(url, l->home, &e) != OK)
        return complain(&e);
    snprintf(own, sizeof own, "w%d", (int)getpid());
    snprintf(count, sizeof count, "%u", threads);
    add(&w, "jielong-worker");
    add(&w, "worker");
    add_option(&w, "--home", l->home);
    add_option(&w, "--connect", connect ? connect : url);
    add_option(&w, "--name", name ? name : own);
    add_option(&w, "--threads", count);
    add_option(&w, "--log-format", format);
    add_option(&w, "--key", key);
    add_option(&w, "--cache", cache);
    if (labels.n > LABELS_MAX)
        return command_usage(l, "too many labels");
    for (size_t i = 0; i < labels.n; i++)
        add_option(&w, "--label", labels.items[i]);
    return become(l, w.items);
}

/* ---- generate, export: their options are jielong-worker's ---- */

static int find_checkpoint(const char *home, const char *what, char hex[ID_HEX], struct err *e)
{
    struct store *s = NULL;
    Manifest *m = NULL;
    struct id id;
    int rc = store_open(&s, home, false, e);

    if (rc == E_MISSING)
        rc = err_set(e, E_MISSING, "nothing has run in %s yet", home);
    if (rc == OK)
        rc = named_artifact(&id, s, home, what, e);
    if (rc == OK)
        rc = store_manifest(&m, s, &id, e);
    if (rc == OK && m->kind != ARTIFACT_KIND__CHECKPOINT)
        rc = err_set(e, E_MISSING, "%s is no model", what);
    if (rc == OK)
        id_hex(hex, &id);
    message_free(m);
    store_close(s);
    return rc;
}

static bool takes(const char *arg, const char *name, const char **value)
{
    size_t n = strlen(name);

    if (strncmp(arg, name, n) != 0 || (arg[n] != '\0' && arg[n] != '='))
        return false;
    *value = arg[n] ? arg + n + 1 : NULL;
    return true;
}

/* Takes the options of every command out of the arguments; the rest is handed on as it is. */
static void split_common(struct command_line *l, struct words *common, struct words *rest)
{
    for (int i = 0; i < l->n; i++) {
        const char *a = l->args[i], *value = NULL;
        if (takes(a, "--home", &value) || takes(a, "--output", &value)) {
            add(common, a);
            if (!value && i + 1 < l->n)
                add(common, l->args[++i]);
        } else {
            add(rest, a);
            bool is_prompt =
                strcmp(a, "--prompt") == 0 || strcmp(a, "--system") == 0 || strcmp(a, "-p") == 0;
            if (is_prompt && i + 1 < l->n) /* whatever it looks like */
                add(rest, l->args[++i]);
        }
    }
}

/* Names the model by its checkpoint, and hands the rest on. */
static int become_with_model(struct command_line *l, const char *program)
{
    char hex[ID_HEX] = "";
    struct words common = { .n = 0 }, rest = { .n = 0 }, w = { .n = 0 };
    struct err e = ERR_INIT;

    if (too_many(l))
        return command_usage(l, "too many arguments");
    split_common(l, &common, &rest);
    l->args = common.items;
    l->n = common.n;
    if (!command_begin(l, NULL, 0, 0, 0))
        return l->exit_code;
    add(&w, "jielong-worker");
    add(&w, program);
    for (int i = 0; i < rest.n; i++)
        if (strcmp(rest.items[i], "--help") == 0 || strcmp(rest.items[i], "-h") == 0) {
            add(&w, "--help");
            return become(l, w.items);
        }
    if (rest.n == 0 || rest.items[0][0] == '-')
        return command_usage(l, "the model comes first, e.g. chat or quickstart-1/chat");
    if (find_checkpoint(l->home, rest.items[0], hex, &e) != OK)
        return complain(&e);
    add(&w, "--home");
    add(&w, l->home);
    add(&w, "--checkpoint");
    add(&w, hex);
    if (l->json)
        add(&w, "--json");
    for (int i = 1; i < rest.n; i++)
        add(&w, rest.items[i]);
    return become(l, w.items);
}

int generate_command(struct command_line *l)
{
    return become_with_model(l, "generate");
}

int export_command(struct command_line *l)
{
    return become_with_model(l, "export");
}

/* ---- import: the tokenizer is named by what made it; the rest is handed on ---- */

static int find_artifact(const char *home, const char *what, char hex[ID_HEX], struct err *e)
{
    struct store *s = NULL;
    struct id id;
    int rc = store_open(&s, home, false, e);

    if (rc == OK)
        rc = named_artifact(&id, s, home, what, e);
    if (rc == OK)
        id_hex(hex, &id);
    store_close(s);
    return rc;
}

int import_command(struct command_line *l)
{
    struct words common = { .n = 0 }, rest = { .n = 0 }, w = { .n = 0 };
    char hex[ID_HEX] = "";
    struct err e = ERR_INIT;

    if (too_many(l))
        return command_usage(l, "too many arguments");
    split_common(l, &common, &rest);
    l->args = common.items;
    l->n = common.n;
    if (!command_begin(l, NULL, 0, 0, 0))
        return l->exit_code;
    add(&w, "jielong-worker");
    add(&w, "import");
    add(&w, "--home");
    add(&w, l->home);
    if (l->json)
        add(&w, "--json");
    for (int i = 0; i < rest.n; i++) {
        const char *what = NULL;
        if (!takes(rest.items[i], "--tokenizer", &what)) {
            add(&w, rest.items[i]);
            continue;
        }
        what = what || i + 1 >= rest.n ? what : rest.items[++i];
        if (!what)
            return command_usage(l, "--tokenizer: which?");
        if (find_artifact(l->home, what, hex, &e) != OK)
            return complain(&e);
        add(&w, "--artifact");
        add(&w, hex);
    }
    return become(l, w.items);
}

/* ---- selftest: it has no home; all it takes is jielong-worker's ---- */

int selftest_command(struct command_line *l)
{
    struct words w = { .n = 0 };

    if (too_many(l))
        return command_usage(l, "too many arguments");
    add(&w, "jielong-worker");
    add(&w, "selftest");
    for (int i = 0; i < l->n; i++)
        add(&w, l->args[i]);
    return become(l, w.items);
}
