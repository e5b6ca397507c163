#ifndef ORCHESTRATOR_CLI_COMMAND_H
#define ORCHESTRATOR_CLI_COMMAND_H

#include <limits.h>
#include <stdbool.h>

#include "proto/err.h"
#include "proto/options.h"

/* Exit codes, as people's scripts rely on them. */
enum {
    EXIT_DONE = 0,
    EXIT_RUN_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_STILL_RUNNING = 3,
    EXIT_WAITING = 4,
    EXIT_BAD_DATA = 65,
    EXIT_NO_ORCHESTRATOR = 69,
    EXIT_INTERNAL = 70,
    EXIT_IO_ERROR = 74,
    EXIT_INTERRUPTED = 130,
};

#define HOME_PATH (PATH_MAX + 256) /* room for any path that we make below the home */

struct command;

/* A command at work: what was typed, and what holds for every command. */
struct command_line {
    const struct command *command;
    char **args; /* command_begin leaves the operands */
    int n;
    char program[PATH_MAX];     /* folder of this executable, and of jielong-worker */
    char home[PATH_MAX];        /* absolute: --home, else $JIELONG_HOME, else ./.jielong */
    char home_option[PATH_MAX]; /* what a suggested command needs to find it: "" or " --home DIR" */
    bool json;                  /* --output json */
    bool color;                 /* stdout is a terminal, and there is no $NO_COLOR */
    int exit_code;              /* of a command that command_begin has ended */
};

struct command {
    const char *name;
    const char *operands;               /* after the name: "FILE", "[RUN[/JOB]]" */
    const char *help;                   /* one line */
    const char *more;                   /* further lines for its own --help; NULL: none */
    int (*run)(struct command_line *l); /* returns the exit code */
};
extern const struct command commands[];
extern const unsigned n_commands;

int run_command(struct command_line *l);
int watch_command(struct command_line *l);
int validate_command(struct command_line *l);
int plan_command(struct command_line *l);
int submit_command(struct command_line *l);
int status_command(struct command_line *l);
int logs_command(struct command_line *l);
int metrics_command(struct command_line *l);
int report_command(struct command_line *l);
int explain_command(struct command_line *l);
int cancel_command(struct command_line *l);
int retry_command(struct command_line *l);
int pause_command(struct command_line *l);
int resume_command(struct command_line *l);
int workers_command(struct command_line *l);
int drain_command(struct command_line *l);
int scale_command(struct command_line *l);
int generate_command(struct command_line *l);
int export_command(struct command_line *l);
int import_command(struct command_line *l);
int selftest_command(struct command_line *l);
int artifacts_command(struct command_line *l);
int store_command(struct command_line *l);
int keys_command(struct command_line *l);
int orchestrator_command(struct command_line *l);
int worker_command(struct command_line *l);
int web_command(struct command_line *l);

/* Reads the arguments: the command's own options, those of every command, and from `least` to
 * `most` operands. False: --help was answered or bad usage told; return l->exit_code. */
bool command_begin(
    struct command_line *l, const struct option_row *rows, size_t n_rows, int least, int most);

/* Prints "error: …" and how the command is used; EXIT_USAGE. */
int command_usage(const struct command_line *l, const char *why);

/* Of the terminal that stdout is; 0: it is none. */
int stdout_columns(void);

/* Prints "error: …"; the exit code that belongs to the error's code. */
int complain(const struct err *e);

#endif
