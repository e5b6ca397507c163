#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "proto/keys.h"

/* `jielong keys new | list | allow | revoke`. */

static int new (struct command_line *l, struct err *e)
{
    struct keys own, made;
    char path[PATH_MAX];
    const char *name = l->args[1];

    snprintf(path, sizeof path, "%s.key", name);
    const char *file = l->n > 2 ? l->args[2] : path;
    int rc = keys_own(&own, l->home, e);
    if (rc == OK)
        rc = keys_make(&made, e);
    if (rc != OK)
        return rc;
    memcpy(made.orchestrator, own.public, KEY_TEXT);
    rc = keys_write(&made, file, e);
    if (rc == OK && (rc = keys_allow(l->home, made.public, name, e)) != OK)
        remove(file);
    if (rc == OK)
        printf("%s is allowed; take %s to its host, and keep it secret:\n"
               "  jielong worker --connect tcp://HOST:PORT --key %s\n",
            name, file, file);
    return rc;
}

static int print_key(void *ctx, const char *public, const char *name, struct err *e)
{
    int *n = ctx;

    (void)e;
    ++*n;
    printf("%s  %s\n", public, name);
    return OK;
}

static int list(struct command_line *l, struct err *e)
{
    int n = 0;
    int rc = keys_allowed(l->home, print_key, &n, e);

    if (rc == OK && n == 0)
        fprintf(stderr, "nobody is allowed\n");
    return rc;
}

static int allow(struct command_line *l, struct err *e)
{
    struct keys own;
    int rc = keys_own(&own, l->home, e);

    if (rc == OK)
        rc = keys_allow(l->home, l->args[1], l->args[2], e);
    if (rc == OK)
        printf("%s is allowed; the orchestrator's public key is %s\n", l->args[2], own.public);
    return rc;
}

static int revoke(struct command_line *l, struct err *e)
{
    return keys_revoke(l->home, l->args[1], e);
}

static const struct {
    const char *verb;
    int least, most; /* operands behind it */
    int (*run)(struct command_line *l, struct err *e);
} verbs[] = {
    { "new", 1, 2, new },
    { "list", 0, 0, list },
    { "allow", 2, 2, allow },
    { "revoke", 1, 1, revoke },
};

int keys_command(struct command_line *l)
{
    struct err e = ERR_INIT;

    if (!command_begin(l, NULL, 0, 1, 3))
        return l->exit_code;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].verb, l->args[0]) == 0 && l->n - 1 >= verbs[i].least &&
            l->n - 1 <= verbs[i].most)
            return verbs[i].run(l, &e) == OK ? EXIT_DONE : complain(&e);
    return command_usage(l, "new NAME [FILE], list, allow PUBLIC NAME, or revoke NAME");
}
