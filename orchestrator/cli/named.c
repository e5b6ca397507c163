#include "orchestrator/cli/named.h"

#include <string.h>

#include "orchestrator/status.h"

#define LEAST_DIGITS 8

int named_output(Output **out, const char *home, const char *what, struct err *e)
{
    struct state *s = NULL;
    struct state_txn *t = NULL;
    int rc = state_open(&s, home, false, e);

    if (rc == E_MISSING)
        return err_set(e, E_MISSING, "nothing has run in %s yet", home);
    if (rc == OK)
        rc = state_begin(&t, s, false, e);
    if (rc == OK)
        rc = status_artifact(out, t, what, "checkpoint", e);
    state_abort(t);
    state_close(s);
    return rc;
}

struct search {
    const char *digits;
    size_t n, found;
    struct id id;
};

static int compare(void *ctx, const struct id *id, const Manifest *m, struct err *e)
{
    struct search *s = ctx;
    char hex[ID_HEX];

    (void)m;
    (void)e;
    id_hex(hex, id);
    if (strncmp(hex, s->digits, s->n) == 0) {
        s->found++;
        s->id = *id;
    }
    return OK;
}

static bool looks_like_an_id(const char *what)
{
    size_t n = strlen(what);

    return n >= LEAST_DIGITS && n < ID_HEX && strspn(what, "0123456789abcdef") == n;
}

int named_artifact(
    struct id *out, struct store *s, const char *home, const char *what, struct err *e)
{
    struct search search = { .digits = what, .n = strlen(what) };
    Output *o = NULL;
    int rc = OK;

    if (looks_like_an_id(what))
        rc = store_each(s, compare, &search, e);
    if (rc == OK && search.found > 1)
        return err_set(
            e, E_MISSING, "%zu artifacts have ids that begin with %s", search.found, what);
    if (rc == OK && search.found == 1) {
        *out = search.id;
        return OK;
    }
    if (rc == OK)
        rc = named_output(&o, home, what, e);
    if (rc == OK && !id_from_span(out, o->id.data, o->id.len))
        rc = err_set(e, E_CORRUPT, "%s has no id", what);
    message_free(o);
    return rc;
}
