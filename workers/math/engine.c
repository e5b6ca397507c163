#include "workers/math/engine.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "workers/math/blas.h"

/* The core types of OpenBLAS that we ask for, best first. A machine that runs our kernels of
 * `set` runs the library's of `core`; `same` is another name of the same kernels. */
static const struct pair {
    const char *core, *set, *same;
} pairs[] = {
#if defined(__x86_64__) || defined(__i386__)
    { "SkylakeX", "avx512bf16", NULL },
    { "SkylakeX", "avx512", NULL },
    { "Haswell", "avx2", "Zen" },
    { "Prescott", "generic", NULL },
#endif
    { NULL, NULL, NULL },
};
#define CLASSES (sizeof pairs / sizeof *pairs)

/* A numeric class, cut at its slashes. */
struct class
{
    char version[48], core[32], set[16];
};

static char names[CLASSES][96], cores[CLASSES][32];
static const char *list[CLASSES + 1];

/* False for a text that is not VERSION/CORE/SET. */
static bool class_parse(struct class *out, const char *text)
{
    int end = 0;

    int parts = sscanf(text, "%47[^/]/%31[^/]/%15[^/]%n", out->version, out->core, out->set, &end);
    return parts == 3 && text[end] == '\0';
}

static void loaded_class(struct class *out)
{
    *out = (struct class){ .set = "" };
    sscanf(blas_setup(), "%47[^/]/%31s", out->version, out->core);
    snprintf(out->set, sizeof out->set, "%s", kernels_available()[0]);
}

static void add_class(size_t n, const char *version, const char *core, const char *set)
{
    snprintf(names[n], sizeof names[n], "%s/%s/%s", version, core, set);
    snprintf(cores[n], sizeof cores[n], "%s", core);
    list[n] = names[n];
}

static void list_classes(void)
{
    struct class loaded;
    size_t n = 0;

    loaded_class(&loaded);
    for (const struct pair *p = pairs; p->core != NULL; p++) {
        if (kernels_get(p->set) != NULL)
            add_class(n++, loaded.version, p->core, p->set);
    }
    if (n == 0) /* another architecture: the core type that the library finds by itself */
        add_class(0, loaded.version, loaded.core, loaded.set);
}

const char *const *numeric_classes(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, list_classes);
    return list;
}

const char *numeric_class_core(const char *numeric_class)
{
    const char *const *known = numeric_classes();

    for (size_t i = 0; known[i] != NULL; i++) {
        if (strcmp(known[i], numeric_class) == 0)
            return cores[i];
    }
    return NULL;
}

/* Whether two names of core types mean the same kernels. */
static bool same_core(const char *a, const char *b)
{
    if (strcasecmp(a, b) == 0)
        return true;
    for (const struct pair *p = pairs; p->core != NULL; p++) {
        if (p->same != NULL && ((strcasecmp(a, p->core) == 0 && strcasecmp(b, p->same) == 0) ||
                                   (strcasecmp(b, p->core) == 0 && strcasecmp(a, p->same) == 0)))
            return true;
    }
    return false;
}

/* The kernels for `numeric_class`, if what is loaded is of that class. */
static int class_kernels(const struct kernels **out, const char *numeric_class, struct err *e)
{
    struct class wanted, loaded;

    loaded_class(&loaded);
    if (numeric_class == NULL) {
        *out = kernels_get(NULL);
        return OK;
    }
    if (!class_parse(&wanted, numeric_class))
        return err_set(e, E_INPUT,
            "numeric class '%s' is not of the form openblas-VERSION/CORE/SET", numeric_class);
    if (strcmp(wanted.version, loaded.version) != 0 || !same_core(wanted.core, loaded.core))
        return err_set(e, E_INPUT, "numeric class '%s' asked for, but %s/%s is loaded",
            numeric_class, loaded.version, loaded.core);
    const struct kernels *k = kernels_get(wanted.set);
    if (k == NULL)
        return err_set(e, E_INPUT,
            "numeric class '%s' asked for, but the best kernels that this machine runs are %s",
            numeric_class, loaded.set);
    *out = k;
    return OK;
}

int engine_init(struct engine *out, const char *numeric_class, int threads, struct err *e)
{
    const struct kernels *k = NULL;
    struct pool *p = NULL;

    int rc = class_kernels(&k, numeric_class, e);
    if (rc == OK)
        rc = pool_new(&p, threads, e);
    if (rc == OK)
        *out = (struct engine){ .pool = p, .k = k };
    return rc;
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    pool_free(e->pool);
    *e = (struct engine){ 0 };
}
