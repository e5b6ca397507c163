#include "workers/selftest/testbed.h"

#include <stdio.h>
#include <string.h>

#include "store/records.h"

int testbed_open(struct testbed *t, const char *folder, int threads, struct err *e)
{
    *t = (struct testbed){ .store = NULL };
    snprintf(t->folder, sizeof t->folder, "%s", folder);
    int rc = engine_init(&t->engine, NULL, threads, e);
    return rc == OK ? warm_new(&t->warm, e) : rc;
}

void testbed_close(struct testbed *t)
{
    warm_free(t->warm);
    engine_free(&t->engine);
    store_close(t->store);
    *t = (struct testbed){ .store = NULL };
}

struct task_context testbed_context(struct testbed *t)
{
    return (struct task_context){ .store = t->store, .engine = &t->engine, .warm = t->warm };
}

int testbed_store(struct testbed *t, struct err *e)
{
    return t->store ? OK : store_open(&t->store, t->folder, true, e);
}

int testbed_cold(struct testbed *t, int threads, struct err *e)
{
    warm_free(t->warm);
    engine_free(&t->engine);
    t->warm = NULL;
    int rc = engine_init(&t->engine, NULL, threads, e);
    return rc == OK ? warm_new(&t->warm, e) : rc;
}

int testbed_file(struct id *out, struct testbed *t, const char *name, const char *content,
    int split, struct err *e)
{
    Reading how = READING__INIT;
    char path[PATH_MAX + 64];
    Output *o = NULL;
    int rc = testbed_store(t, e);

    how.has_split = true;
    how.split = (Split)split;
    snprintf(path, sizeof path, "%s/%s", t->folder, name);
    if (rc == OK)
        rc = file_write(path, content, strlen(content), e);
    if (rc == OK)
        rc = files_take(&o, t->store, path, &how, NULL, e);
    if (rc == OK)
        id_from_span(out, o->id.data, o->id.len);
    message_free(o);
    return rc;
}

int spec_run(TaskAnswer **out, struct testbed *t, struct spec *s, struct err *e)
{
    struct task_context c = { .store = t->store, .engine = &t->engine, .warm = t->warm };

    message_fill_defaults(&s->m.base);
    int rc = task_run(out, &c, &s->m, e);
    if (rc == OK && t->forgets) {
        warm_free(t->warm);
        t->warm = NULL;
        rc = warm_new(&t->warm, e);
    }
    return rc == OK ? OK : err_wrap(e, "%s task", message_kind(&s->m.base));
}

int spec_run_for(
    struct id *out, struct testbed *t, struct spec *s, const char *output, struct err *e)
{
    TaskAnswer *a = NULL;
    int rc = spec_run(&a, t, s, e);

    if (rc == OK && !answer_find(out, a, output))
        rc = err_set(e, E_MISSING, "no output '%s'", output);
    message_free(a);
    return rc;
}
