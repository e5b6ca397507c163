#include "orchestrator/sweeper.h"

#include <stdlib.h>

#include "tests/simulation/sim_disk.h"

/* The simulation's sweeper is at once: what the orchestrator lets go is gone in that very turn. */

struct sweeper {
    int unused;
};

int sweeper_new(struct sweeper **out, struct store *s, struct err *e)
{
    (void)s;
    *out = calloc(1, sizeof **out);
    return *out ? OK : err_set(e, E_NOMEM, "out of memory");
}

void sweeper_free(struct sweeper *w)
{
    free(w);
}

void sweeper_take(struct sweeper *w, const struct id *artifact)
{
    (void)w;
    artifacts_remove(artifact);
}
