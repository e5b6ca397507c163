#include "orchestrator/run_record.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"

#define NAMES_MAX 10 /* that an error lists */

struct search {
    const char *name;
    RunRecord *found;
    struct buf names; /* of the latest runs */
    size_t n;
};

static int match(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct search *s = ctx;
    RunRecord *r = (RunRecord *)m;
    int rc = OK;

    (void)key;
    if (r->name && (!*s->name || !strcmp(r->name, s->name))) {
        s->found = r;
        return 1;
    }
    if (r->name && s->n++ < NAMES_MAX)
        rc = buf_printf(&s->names, "%s%s", s->n > 1 ? ", " : "", r->name);
    message_free(m);
    return rc == OK ? OK : err_set(e, E_NOMEM, "out of memory");
}

int run_record_find(RunRecord **out, struct state_txn *t, const char *run, struct err *e)
{
    struct search s = { .name = run ? run : "" };
    int rc = state_each(
        t, STATE_RUN, (struct state_key){ .n = 0 }, true, &run_record__descriptor, match, &s, e);

    if (rc >= OK && !s.found && s.n == 0)
        rc = err_set(e, E_MISSING, "there are no runs yet");
    else if (rc >= OK && !s.found)
        rc = err_set(e, E_MISSING, "there is no run '%s'; there %s %s%s", s.name,
            s.n == 1 ? "is" : "are", s.names.p, s.n > NAMES_MAX ? ", …" : "");
    buf_free(&s.names);
    if (rc < OK) {
        message_free(s.found);
        return rc;
    }
    *out = s.found;
    return OK;
}

struct naming {
    const char *pipeline;
    uint64_t last;
};

static int highest(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct naming *n = ctx;
    const RunRecord *r = (const RunRecord *)m;
    size_t len = strlen(n->pipeline);

    (void)key;
    (void)e;
    if (r->name && r->submit && r->submit->pipeline &&
        !strcmp(r->submit->pipeline->name, n->pipeline) && strlen(r->name) > len) {
        uint64_t k = strtoull(r->name + len + 1, NULL, 10);
        n->last = k > n->last ? k : n->last;
    }
    message_free(m);
    return OK;
}

int run_record_last(uint64_t *out, struct state_txn *t, const char *pipeline, struct err *e)
{
    struct naming n = { .pipeline = pipeline };
    int rc = state_each(
        t, STATE_RUN, (struct state_key){ .n = 0 }, false, &run_record__descriptor, highest, &n, e);

    *out = n.last;
    return rc < OK ? rc : OK;
}

int run_record_name(char **out, struct state_txn *t, const char *pipeline, struct err *e)
{
    char *name = NULL;
    uint64_t last;
    int rc = run_record_last(&last, t, pipeline, e);

    if (rc == OK)
        rc = field_textf(&name, e, "%s-%llu", pipeline, (unsigned long long)last + 1);
    if (rc == OK)
        *out = name;
    return rc;
}
