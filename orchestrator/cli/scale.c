#include <stdio.h>
#include <stdlib.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/crew.h"

/* `jielong scale N`: the supervisor of the home's workers does it (embedded.h). */

static bool read_count(unsigned *out, const char *word)
{
    char *end;
    unsigned long n = strtoul(word, &end, 10);

    *out = (unsigned)n;
    return *word >= '0' && *word <= '9' && !*end && n <= CREW_MAX;
}

/* Workers first+1 to last. */
static void say_which(unsigned first, unsigned last, const char *one, const char *several)
{
    if (last == first + 1)
        fprintf(stderr, "w%u %s\n", last, one);
    else
        fprintf(stderr, "w%u to w%u %s\n", first + 1, last, several);
}

static void say(unsigned before, unsigned now)
{
    if (now > before)
        say_which(before, now, "starts", "start");
    else if (now < before)
        say_which(
            now, before, "finishes what it has, and leaves", "finish what they have, and leave");
    else
        fprintf(stderr, "there are %u workers already\n", now);
}

int scale_command(struct command_line *l)
{
    unsigned workers, before = 0;
    struct err e = ERR_INIT;

    if (!command_begin(l, NULL, 0, 1, 1))
        return l->exit_code;
    if (!read_count(&workers, l->args[0]))
        return command_usage(l, "N is a number of workers, at most 256");
    int rc = crew_ask(l->home, workers, &before, &e);
    if (rc == E_BUSY) {
        fprintf(stderr,
            "error: %s\n  = help: `jielong run` and `jielong orchestrator --workers N` do; "
            "`jielong "
            "worker` starts one\n          by hand, `jielong drain WORKER` lets one go\n",
            e.msg);
        return EXIT_NO_ORCHESTRATOR;
    }
    if (rc != OK)
        return complain(&e);
    if (l->json)
        printf("{\"schema\": 1, \"workers\": %u, \"before\": %u}\n", workers, before);
    else
        say(before, workers);
    return EXIT_DONE;
}
