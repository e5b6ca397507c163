#ifndef ORCHESTRATOR_CLI_COMMAND_H
#define ORCHESTRATOR_CLI_COMMAND_H

#include <stdbool.h>

#include "pipelines/pipeline.h"
#include "proto/err.h"
#include "proto/message.h"

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

/* Options that every command takes, and what is left of the arguments. */
struct command_line {
    const char *home;      /* --home, $JIELONG_HOME, ./.jielong */
    bool json;             /* --output json */
    bool color;            /* a terminal, and no NO_COLOR */
    const char *program;   /* path of this executable's folder, for jielong-worker */
    char **args;           /* after the command's name: options of its own and operands */
    int n;
};

struct command {
    const char *name, *usage, *help;
    int (*run)(const struct command_line *l); /* returns the exit code */
};
extern const struct command commands[];
extern const unsigned n_commands;

int run_command(const struct command_line *l);
int validate_command(const struct command_line *l);
int plan_command(const struct command_line *l);
int submit_command(const struct command_line *l);
int status_command(const struct command_line *l);
int logs_command(const struct command_line *l);
int cancel_command(const struct command_line *l);
int generate_command(const struct command_line *l);
int orchestrator_command(const struct command_line *l);
int worker_command(const struct command_line *l);

/* Prints "error: …" and gives the exit code of an error. */
int complain(const struct err *e);
/* Prints the command's usage line; EXIT_USAGE. */
int usage(const char *command, const char *why);

/* An option of a command: --name VALUE, --name=VALUE or a flag. */
struct option_rule {
    const char *name;      /* without the dashes */
    bool takes_value;
    void (*take)(void *ctx, const char *value);
};
/* Goes through l->args: options by the rules, operands into operands[0..cap). Returns how many
 * operands there are, or -1 after an unknown option was complained about. */
int parse_options(const struct command_line *l, const char *command, const struct option_rule *rules,
    unsigned n_rules, void *ctx, const char **operands, int cap);

/* ---- pipeline files ---- */
struct submission {
    const char *file;
    struct setting settings[64];
    size_t n_settings;
};
void take_setting(void *submission, const char *value); /* for --set; value is borrowed */

/* Loads and checks a pipeline; prints every mistake. *out is freed by message_free. */
int load_pipeline(Submit **out, const struct submission *s, int *exit_code);
/* Takes the input files into the home's store. */
int take_inputs(Submit *m, const char *home, struct err *e);

/* ---- showing ---- */
int show_status(struct buf *out, const RunStatus *s, bool color);
/* One line for a finished, failed or changed job. */
int show_job_line(struct buf *out, const JobStatus *j, bool color);
int duration_text(char *out, unsigned size, double seconds);

#endif
