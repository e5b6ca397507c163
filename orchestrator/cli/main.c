#include "orchestrator/cli/command.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct command commands[] = {
    { "run", "run FILE [--workers N] [--set stage.key=value]… [--detach]",
        "everything in one command: orchestrator, workers, the pipeline to its end", run_command },
    { "validate", "validate FILE [--set stage.key=value]…", "check a pipeline file, run nothing",
        validate_command },
    { "plan", "plan FILE [--set stage.key=value]…", "say what would run and what is cached, and why",
        plan_command },
    { "submit", "submit FILE [--set stage.key=value]… [--connect URL]",
        "give a pipeline to a standing orchestrator", submit_command },
    { "status", "status [RUN|all]", "states, progress, rates and time left of a run's jobs",
        status_command },
    { "logs", "logs [RUN[/JOB]] [--tail N]", "log lines; without arguments those of the failed or running job",
        logs_command },
    { "cancel", "cancel RUN[/JOB]", "end a run or one of its jobs", cancel_command },
    { "generate", "generate [RUN/]STAGE --prompt TEXT [--show-probabilities[=N]] [OPTIONS]",
        "let a trained model answer", generate_command },
    { "orchestrator", "orchestrator [--listen URL]", "the daemon that decides", orchestrator_command },
    { "worker", "worker [--connect URL] [--name NAME] [--threads N]", "a daemon that computes",
        worker_command },
};
const unsigned n_commands = sizeof commands / sizeof *commands;

static int help(FILE *f)
{
    fprintf(f, "Jielong (接龙): from raw text to a chat model, by the recipe of ChatGPT.\n\n"
               "usage: jielong COMMAND [OPTIONS]\n\n");
    for (unsigned i = 0; i < n_commands; i++)
        fprintf(f, "  %-13s %s\n", commands[i].name, commands[i].help);
    fprintf(f, "\noptions of every command:\n"
               "  --home DIR            where state and store lie (default $JIELONG_HOME, else ./.jielong)\n"
               "  --output table|json   for people or for programs\n"
               "  --help                what a command takes\n\n"
               "exit codes: 0 done, 1 failed, 2 bad usage, 3 still running, 4 waiting for people,\n"
               "65 bad pipeline or data, 69 no orchestrator, 70 internal, 74 I/O, 130 interrupted\n");
    return f == stdout ? EXIT_DONE : EXIT_USAGE;
}

int usage(const char *command, const char *why)
{
    for (unsigned i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, command) == 0)
            fprintf(stderr, "error: %s\nusage: jielong %s\n", why, commands[i].usage);
    return EXIT_USAGE;
}

int complain(const struct err *e)
{
    static const struct {
        int code, exit_code;
    } codes[] = {
        { E_INPUT, EXIT_BAD_DATA }, { E_MISSING, EXIT_BAD_DATA }, { E_IO, EXIT_IO_ERROR },
        { E_CORRUPT, EXIT_IO_ERROR }, { E_BUSY, EXIT_IO_ERROR }, { E_CANCELLED, EXIT_INTERRUPTED },
    };

    fprintf(stderr, "error: %s\n", e->msg);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == e->code)
            return codes[i].exit_code;
    return EXIT_INTERNAL;
}

void take_setting(void *submission, const char *value)
{
    struct submission *s = submission;
    char *equals = strchr(value, '=');

    if (s->n_settings == sizeof s->settings / sizeof *s->settings)
        return;
    if (equals)
        *equals = '\0';
    s->settings[s->n_settings++] = (struct setting){ value, equals ? equals + 1 : "" };
}

int parse_options(const struct command_line *l, const char *command, const struct option_rule *rules,
    unsigned n_rules, void *ctx, const char **operands, int cap)
{
    int n = 0;

    for (int i = 0; i < l->n; i++) {
        char *a = l->args[i], why[160];
        unsigned k = 0;
        if (strncmp(a, "--", 2) != 0) {
            if (n == cap) {
                snprintf(why, sizeof why, "unexpected argument '%s'", a);
                usage(command, why);
                return -1;
            }
            operands[n++] = a;
            continue;
        }
        size_t size = strcspn(a + 2, "=");
        while (k < n_rules && (strlen(rules[k].name) != size || strncmp(rules[k].name, a + 2, size) != 0))
            k++;
        const char *value = a[2 + size] == '=' ? a + 3 + size : NULL;
        if (k < n_rules && rules[k].takes_value && !value && i + 1 < l->n)
            value = l->args[++i];
        if (k == n_rules || (rules[k].takes_value && !value)) {
            snprintf(why, sizeof why, k == n_rules ? "unknown option '%s'" : "%s needs a value", a);
            usage(command, why);
            return -1;
        }
        rules[k].take(ctx, value);
    }
    return n;
}

/* Takes the options of every command out of the arguments. False: bad usage, already told. */
static bool common_options(struct command_line *l, bool *wants_help)
{
    int kept = 0;

    for (int i = 0; i < l->n; i++) {
        char *a = l->args[i];
        bool home = strcmp(a, "--home") == 0, output = strcmp(a, "--output") == 0;
        const char *value = (home || output) && i + 1 < l->n ? l->args[i + 1] : NULL;
        if (strncmp(a, "--home=", 7) == 0) {
            home = true;
            value = a + 7;
            i--;
        } else if (strncmp(a, "--output=", 9) == 0) {
            output = true;
            value = a + 9;
            i--;
        }
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            *wants_help = true;
        } else if (home || output) {
            if (!value || (output && strcmp(value, "json") != 0 && strcmp(value, "table") != 0)) {
                fprintf(stderr, "error: %s\n", home ? "--home needs a folder" : "--output is table or json");
                return false;
            }
            if (home)
                l->home = value;
            else
                l->json = strcmp(value, "json") == 0;
            i++;
        } else {
            l->args[kept++] = a;
        }
    }
    l->n = kept;
    return true;
}

/* The home as an absolute path: children and messages need one. */
static bool absolute_home(struct command_line *l, char out[PATH_MAX])
{
    char here[PATH_MAX];

    if (l->home[0] == '/')
        return true;
    if (!getcwd(here, sizeof here)
        || snprintf(out, PATH_MAX, "%s/%s", here, l->home) >= PATH_MAX)
        return false;
    l->home = out;
    return true;
}

static const char *program_folder(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    char *slash;

    if (n <= 0)
        return ".";
    out[n] = '\0';
    slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
    return out;
}

int main(int argc, char **argv)
{
    char home[PATH_MAX], folder[PATH_MAX];
    struct command_line l = { .args = argv + 2, .n = argc > 2 ? argc - 2 : 0 };
    bool wants_help = false;

    if (argc < 2)
        return help(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(stdout);
    l.home = getenv("JIELONG_HOME") && *getenv("JIELONG_HOME") ? getenv("JIELONG_HOME") : ".jielong";
    l.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    l.program = program_folder(folder);
    if (!common_options(&l, &wants_help))
        return EXIT_USAGE;
    if (!absolute_home(&l, home)) {
        fprintf(stderr, "error: the home's path is too long\n");
        return EXIT_USAGE;
    }
    const char *names[64];
    for (unsigned i = 0; i < n_commands; i++) {
        names[i] = commands[i].name;
        if (strcmp(commands[i].name, argv[1]) != 0)
            continue;
        if (!wants_help)
            return commands[i].run(&l);
        printf("usage: jielong %s\n\n%s\n", commands[i].usage, commands[i].help);
        return EXIT_DONE;
    }
    const char *near = diag_nearest(argv[1], names, n_commands);
    fprintf(stderr, "error: unknown command '%s'\n", argv[1]);
    if (near)
        fprintf(stderr, "  = help: did you mean '%s'?\n", near);
    return EXIT_USAGE;
}
