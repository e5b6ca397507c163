#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "proto/diag.h"

const struct command commands[] = {
    { "run", "FILE", "everything in one command: orchestrator, workers, the pipeline to its end",
        "A run that was interrupted goes on when the same command is given again; what has been\n"
        "computed once, by whatever run of this home, is not computed again.",
        run_command },
    { "validate", "FILE", "check a pipeline file, run nothing", NULL, validate_command },
    { "plan", "FILE", "say of each stage whether it would run or is cached, and why", NULL,
        plan_command },
    { "submit", "FILE", "give a pipeline to a standing orchestrator", NULL, submit_command },
    { "status", "[RUN|all]", "states, progress, rates and time left of a run's jobs",
        "Without RUN: the last one. The exit code tells: 0 done, 1 failed or cancelled, 3 "
        "running,\n"
        "4 waiting for people, 130 interrupted.",
        status_command },
    { "watch", "[RUN]", "follow a run to its end", NULL, watch_command },
    { "logs", "[RUN[/JOB]]", "log lines: of the failed job, else of the running one",
        "A job of the last run can be named alone.", logs_command },
    { "metrics", "[RUN/]JOB", "what a job has measured on its way: losses, rewards, KL, by step",
        "A row for each step, a column for each metric. Of a wide table as many columns are shown\n"
        "as the terminal has room for; --metric chooses, --tsv and --output json give all.",
        metrics_command },
    { "report", "[RUN[/JOB]]", "show or save a run's report", NULL, report_command },
    { "explain", "[RUN[/JOB]]", "why a job waits, runs or has failed", NULL, explain_command },
    { "cancel", "RUN[/JOB]", "end a run, or one of its jobs", NULL, cancel_command },
    { "retry", "RUN", "submit a run that has failed or was cancelled once more",
        "What was computed is not computed again.", retry_command },
    { "pause", "RUN[/JOB]", "begin nothing new of it; what runs is let finish", NULL,
        pause_command },
    { "resume", "RUN[/JOB]", "let what was paused go on", NULL, resume_command },
    { "workers", "", "who computes, on what, and what it does now", NULL, workers_command },
    { "scale", "N", "have so many workers on this host: start some, or let some finish and leave",
        "Of a `jielong run`, or of a `jielong orchestrator --workers N`. Results stay the same.",
        scale_command },
    { "drain", "WORKER", "let a worker finish what it has, and leave", NULL, drain_command },
    { "generate", "[RUN/]STAGE", "let a trained model answer", NULL, generate_command },
    { "export", "[RUN/]STAGE --format gguf|huggingface PATH",
        "write a trained model for other programs", NULL, export_command },
    { "import", "--inspect FILE…", "say what people's files hold, as a stage would read them", NULL,
        import_command },
    { "selftest", "", "check on this machine that the learning gives its known answers", NULL,
        selftest_command },
    { "artifacts", "[list|show|get|export|import] …",
        "what runs have made: list it, copy it out, take it to another home",
        "list [RUN[/JOB]]   every output of a run, with its kind, size and id\n"
        "show WHAT          one of them\n"
        "get WHAT FILE      its bytes; - is standard output\n"
        "export WHAT FILE   for another home, with what is known of the jobs that made it\n"
        "import FILE        takes in what was exported: whole, or not at all; - is standard "
        "input\n\n"
        "WHAT is [RUN/]STAGE[.OUTPUT], an id, or the first 8 digits of one; export takes all of a\n"
        "RUN as well: the same pipeline then computes nothing again in the other home.",
        artifacts_command },
    { "store", "[size|verify|heal|gc]",
        "how large the store is; check it; take away what nobody needs",
        "size    what is in it\n"
        "verify  hash everything again\n"
        "heal    the same, and take away what is damaged: it is fetched or computed again when it\n"
        "        is needed, to the same id; nothing else is lost\n"
        "gc      take away what no run, result or unfinished job reaches. While an orchestrator\n"
        "        works it does so by itself: a long training job's store stays bounded.",
        store_command },
    { "keys", "new|list|allow|revoke …", "who may connect from other hosts",
        "new NAME [FILE]    makes a key that is allowed, in FILE (default NAME.key): take it to "
        "the\n"
        "                   worker's host, `jielong worker --connect tcp://HOST:PORT --key FILE`\n"
        "list               who is allowed\n"
        "allow PUBLIC NAME  lets in a key that was made elsewhere\n"
        "revoke NAME        from its next connection on it is refused\n\n"
        "Where a list is, every tcp connection needs a key; without one only this host may "
        "connect.",
        keys_command },
    { "web", "", "pages to read in a browser: the status, and /metrics for Prometheus", NULL,
        web_command },
    { "orchestrator", "", "the daemon that decides", NULL, orchestrator_command },
    { "worker", "", "a daemon that computes", NULL, worker_command },
};
const unsigned n_commands = sizeof commands / sizeof *commands;

static int help(FILE *f)
{
    fprintf(f, "Jielong (接龙): from raw text to a chat model, by the recipe of ChatGPT.\n\n"
               "usage: jielong COMMAND [OPTIONS]\n\n");
    for (unsigned i = 0; i < n_commands; i++)
        fprintf(f, "  %-13s %s\n", commands[i].name, commands[i].help);
    fprintf(f, "\noptions of every command:\n"
               "  --home DIR            where state and store lie (default $JIELONG_HOME, else "
               "./.jielong)\n"
               "  --output table|json   for people, or for programs\n"
               "  -h, --help            what a command does and takes\n\n"
               "exit codes: 0 done, 1 failed, 2 bad usage, 3 still running, 4 waiting for people,\n"
               "65 bad pipeline or data, 69 no orchestrator, 70 internal error, 74 I/O,\n"
               "130 interrupted (the run can be continued)\n");
    return f == stdout ? EXIT_DONE : EXIT_USAGE;
}

static void find_program(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    char *slash;

    out[n > 0 ? n : 0] = '\0';
    slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
    else
        strcpy(out, ".");
}

static int unknown(const char *name)
{
    const char *names[sizeof commands / sizeof *commands], *near;

    for (unsigned i = 0; i < n_commands; i++)
        names[i] = commands[i].name;
    near = diag_nearest(name, names, n_commands);
    fprintf(stderr, "error: unknown command '%s'\n", name);
    if (near)
        fprintf(stderr, "  = help: did you mean '%s'?\n", near);
    else
        fprintf(stderr, "  = help: `jielong --help` lists the commands\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static struct command_line l;
    static char help_option[] = "--help";
    char *only_help[] = { help_option };
    bool asks_help = argc > 1 && strcmp(argv[1], "help") == 0;

    if (argc < 2)
        return help(stderr);
    if ((asks_help && argc == 2) || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help(stdout);
    const char *name = asks_help ? argv[2] : argv[1];
    l.args = asks_help ? only_help : argv + 2;
    l.n = asks_help ? 1 : argc - 2;
    l.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    find_program(l.program);
    for (unsigned i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0) {
            l.command = &commands[i];
            return l.command->run(&l);
        }
    return unknown(name);
}
