#include "orchestrator/cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ROWS_MAX 32

int complain(const struct err *e)
{
    static const struct {
        int code, exit_code;
    } rows[] = {
        { E_INPUT, EXIT_BAD_DATA },
        { E_MISSING, EXIT_USAGE }, /* a run, job or stage that there is not */
        { E_IO, EXIT_IO_ERROR },
        { E_CORRUPT, EXIT_IO_ERROR },
        { E_BUSY, EXIT_IO_ERROR },
        { E_CANCELLED, EXIT_INTERRUPTED },
    };

    fprintf(stderr, "error: %s\n", e->msg);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].code == e->code)
            return rows[i].exit_code;
    return EXIT_INTERNAL;
}

int command_usage(const struct command_line *l, const char *why)
{
    const struct command *c = l->command;

    fprintf(stderr, "error: %s\nusage: jielong %s%s%s [OPTIONS]\n", why, c->name,
        *c->operands ? " " : "", c->operands);
    fprintf(stderr, "  = help: `jielong %s --help` lists its options\n", c->name);
    return EXIT_USAGE;
}

static int print_help(const struct command *c, const struct option_row *rows, size_t n)
{
    struct buf text = { 0 };
    int rc = options_help(&text, rows, n);

    if (rc == OK) {
        printf("usage: jielong %s%s%s [OPTIONS]\n\n%s\n", c->name, *c->operands ? " " : "",
            c->operands, c->help);
        if (c->more)
            printf("\n%s\n", c->more);
        printf("\noptions:\n%s", text.p);
    }
    buf_free(&text);
    return rc == OK ? EXIT_DONE : EXIT_INTERNAL;
}

int stdout_columns(void)
{
    struct winsize w = { 0 };

    if (!isatty(STDOUT_FILENO))
        return 0;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* For a shell: as it is when that is safe, else in single quotes. */
static bool shell_word(char *out, size_t size, const char *prefix, const char *s)
{
    size_t n = (size_t)snprintf(out, size, "%s", prefix);
    bool plain = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                           "-_./+,:@") == strlen(s);

    if (plain)
        return snprintf(out + n, size - n, "%s", s) < (int)(size - n);
    for (n += (size_t)snprintf(out + n, size - n, "'"); *s && n + 6 < size; s++)
        n += (size_t)snprintf(out + n, size - n, *s == '\'' ? "'\\''" : "%c", *s);
    return !*s && snprintf(out + n, size - n, "'") < (int)(size - n);
}

/* Children and messages need an absolute path. */
static bool take_home(struct command_line *l, const char *option)
{
    const char *home = getenv("JIELONG_HOME"), *here = "";
    char folder[PATH_MAX];

    if (option) {
        home = option;
        if (!shell_word(l->home_option, sizeof l->home_option, " --home ", option))
            return false;
    } else if (!home || !*home) {
        home = ".jielong";
    }
    if (*home != '/') {
        here = getcwd(folder, sizeof folder);
        if (!here)
            return false;
    }
    return snprintf(l->home, sizeof l->home, "%s%s%s", here, *here ? "/" : "", home) <
           (int)sizeof l->home;
}

static bool wrong_operands(struct command_line *l, int least, int most)
{
    char why[200];

    if (l->n >= least && l->n <= most)
        return false;
    if (l->n < least)
        snprintf(why, sizeof why, "%s is missing", l->command->operands);
    else
        snprintf(why, sizeof why, "unexpected argument '%.100s'", l->args[most]);
    l->exit_code = command_usage(l, why);
    return true;
}

bool command_begin(
    struct command_line *l, const struct option_row *rows, size_t n_rows, int least, int most)
{
    const char *home = NULL, *output = "table";
    bool help = false;
    const struct option_row common[] = {
        { "home", 0, OPTION_TEXT, &home, "DIR",
            "where state and store lie (else $JIELONG_HOME, else ./.jielong)", 0, 0, NULL },
        { "output", 0, OPTION_TEXT, &output, "table|json", "for people, or for programs", 0, 0,
            NULL },
        { "help", 'h', OPTION_FLAG, &help, NULL, "this text", 0, 0, NULL },
    };
    struct option_row all[ROWS_MAX];
    size_t n_common = sizeof common / sizeof *common, n = n_rows + n_common;
    struct err e = ERR_INIT;

    if (n_rows > 0)
        memcpy(all, rows, n_rows * sizeof *rows);
    memcpy(all + n_rows, common, sizeof common);
    int rc = options_read(all, n, l->args, &l->n, &e);
    if (help) {
        l->exit_code = print_help(l->command, all, n);
        return false;
    }
    l->json = strcmp(output, "json") == 0;
    if (rc == OK && !l->json && strcmp(output, "table") != 0)
        rc = err_set(&e, E_INPUT, "--output: '%s' is neither table nor json", output);
    if (rc == OK && (home ? !*home || !take_home(l, home) : !take_home(l, NULL)))
        rc = err_set(&e, E_INPUT, "--home: that is no path, or too long a one");
    if (rc != OK) {
        l->exit_code = command_usage(l, e.msg);
        return false;
    }
    return !wrong_operands(l, least, most);
}
