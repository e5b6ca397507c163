#include "orchestrator/fleet.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"

/* Workers name what they like: the table must not grow without end. */
#define TAGS_MAX 65536
#define TAG_NONE UINT32_MAX /* what no session has */

struct fleet {
    struct session *first;
    char **tags; /* "label NAME" or "numeric class NAME"; tag = index + 1 */
    size_t n_tags;
    uint32_t named; /* names made up so far */
};

int fleet_new(struct fleet **out, struct err *e)
{
    *out = calloc(1, sizeof **out);
    return *out ? OK : err_set(e, E_NOMEM, "out of memory");
}

static void free_words(char **words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(words[i]);
    free(words);
}

static void session_free(struct session *s)
{
    free(s->id);
    free(s->name);
    free(s->host);
    free_words(s->classes, s->n_classes);
    free_words(s->labels, s->n_labels);
    free(s);
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    while (f->first) {
        struct session *s = f->first;
        f->first = s->next;
        session_free(s);
    }
    free_words(f->tags, f->n_tags);
    free(f);
}

/* ---- looking ---- */

static bool peer_equal(const struct peer *a, const struct peer *b)
{
    return a->n == b->n && !memcmp(a->b, b->b, a->n);
}

struct session *fleet_by_peer(const struct fleet *f, const struct peer *p)
{
    struct session *s = f->first;

    while (s && !peer_equal(&s->peer, p))
        s = s->next;
    return s;
}

struct session *fleet_by_id(const struct fleet *f, const char *worker_id)
{
    struct session *s = f->first;

    while (s && strcmp(s->id, worker_id))
        s = s->next;
    return s;
}

struct session *fleet_by_name(const struct fleet *f, const char *host, const char *name)
{
    struct session *s = f->first;

    while (s && (strcmp(s->host, host) || strcmp(s->name, name)))
        s = s->next;
    return s;
}

struct session *fleet_by_worker(const struct worker *w)
{
    return w->session;
}

struct session *fleet_first(const struct fleet *f)
{
    return f->first;
}

/* ---- tags ---- */

static int tag(struct fleet *f, const char *what, const char *name, uint32_t *out, struct err *e)
{
    char **p, *text = NULL;

    if (field_textf(&text, e, "%s %s", what, name) != OK)
        return e->code;
    for (size_t i = 0; i < f->n_tags; i++)
        if (!strcmp(f->tags[i], text)) {
            *out = (uint32_t)i + 1;
            free(text);
            return OK;
        }
    if (f->n_tags == TAGS_MAX) {
        *out = TAG_NONE;
        free(text);
        return OK;
    }
    p = field_grow(f->tags, f->n_tags, sizeof *p, e);
    if (!p) {
        free(text);
        return e->code;
    }
    f->tags = p;
    p[f->n_tags++] = text;
    *out = (uint32_t)f->n_tags;
    return OK;
}

int fleet_label(struct fleet *f, const char *label, uint32_t *out, struct err *e)
{
    return tag(f, "label", label, out, e);
}

int fleet_class(struct fleet *f, const char *numeric_class, uint32_t *out, struct err *e)
{
    return tag(f, "numeric class", numeric_class, out, e);
}

const char *fleet_tag_name(const struct fleet *f, uint32_t t)
{
    return t > 0 && t <= f->n_tags ? f->tags[t - 1] : "nothing";
}

uint64_t fleet_who(const char *host, const char *name)
{
    struct buf text = { 0 };
    struct id id = { .b = { 1 } };
    uint64_t who;

    if (buf_printf(&text, "%s/%s", host, name) == OK)
        sha256(&id, text.p, text.n);
    buf_free(&text);
    memcpy(&who, id.b, sizeof who);
    return who | 1;
}

static bool offers(const struct session *s, const char *numeric_class)
{
    for (size_t i = 0; i < s->n_classes; i++)
        if (!strcmp(s->classes[i], numeric_class))
            return true;
    return false;
}

static bool all_offer(const struct fleet *f, const char *numeric_class)
{
    for (const struct session *s = f->first; s; s = s->next)
        if (s->worker->state == SESSION_LIVE && !offers(s, numeric_class))
            return false;
    return true;
}

const char *fleet_best_class(const struct fleet *f)
{
    const struct session *s = f->first;

    while (s && (s->worker->state != SESSION_LIVE || s->n_classes == 0))
        s = s->next;
    for (size_t i = 0; s && i < s->n_classes; i++)
        if (all_offer(f, s->classes[i]))
            return s->classes[i];
    return s ? s->classes[0] : NULL;
}

/* ---- joining ---- */

static int copy_words(char ***out, size_t *n, char *const *words, size_t n_words, struct err *e)
{
    *out = calloc(n_words ? n_words : 1, sizeof **out);
    if (!*out)
        return err_set(e, E_NOMEM, "out of memory");
    for (*n = 0; *n < n_words; (*n)++)
        if (field_text(&(*out)[*n], words[*n], e) != OK)
            return e->code;
    return OK;
}

static int fill(
    struct session *s, struct fleet *f, const struct peer *p, const Hello *h, struct err *e)
{
    int rc = field_text(&s->id, h->worker ? h->worker : "", e);

    s->peer = *p;
    s->cores = h->cores;
    s->threads = h->threads ? h->threads : h->cores;
    s->memory = h->memory;
    if (rc == OK)
        rc = h->name && *h->name ? field_text(&s->name, h->name, e)
                                 : field_textf(&s->name, e, "w%u", ++f->named);
    if (rc == OK)
        rc = field_text(&s->host, h->host ? h->host : "", e);
    if (rc == OK)
        rc = copy_words(&s->classes, &s->n_classes, h->numeric_classes, h->n_numeric_classes, e);
    if (rc == OK)
        rc = copy_words(&s->labels, &s->n_labels, h->labels, h->n_labels, e);
    return rc;
}

static int collect_tags(struct tags *out, struct fleet *f, const struct session *s, struct err *e)
{
    size_t kept = 0;
    int rc = OK;

    out->items = calloc(s->n_classes + s->n_labels + 1, sizeof *out->items);
    if (!out->items)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < s->n_classes && rc == OK; i++)
        rc = fleet_class(f, s->classes[i], &out->items[out->n++], e);
    for (size_t i = 0; i < s->n_labels && rc == OK; i++)
        rc = fleet_label(f, s->labels[i], &out->items[out->n++], e);
    for (size_t i = 0; i < out->n; i++)
        if (out->items[i] != TAG_NONE)
            out->items[kept++] = out->items[i];
    out->n = kept;
    return rc;
}

int fleet_join(struct session **out, struct fleet *f, struct sched *s, const struct peer *p,
    const Hello *h, int64_t now, struct err *e)
{
    struct session *new = calloc(1, sizeof *new), **at = &f->first;
    struct worker_spec spec = {
        .memory = h->memory,
        .threads = h->threads ? h->threads : h->cores,
        .credit = 1,
        .credit_most = CREDIT_MOST,
        .draining = h->draining,
    };
    int rc = new ? fill(new, f, p, h, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        spec.who = fleet_who(new->host, new->name);
    if (rc == OK)
        rc = collect_tags(&spec.tags, f, new, e);
    if (rc == OK)
        rc = sched_add_worker(&new->worker, s, &spec, now, e);
    if (rc == OK)
        new->worker->session = new;
    free(spec.tags.items);
    if (rc != OK) {
        if (new)
            session_free(new);
        return rc;
    }
    while (*at)
        at = &(*at)->next;
    *at = new;
    *out = new;
    return OK;
}

void fleet_leave(struct fleet *f, struct session *s)
{
    struct session **at = &f->first;

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    s->worker->session = NULL;
    session_free(s);
}

/* ---- showing ---- */

static const char *state_word(const struct worker *w)
{
    static const char *const words[] = {
        [SESSION_NEW] = "idle",
        [SESSION_LIVE] = "idle",
        [SESSION_SUSPECT] = "suspect",
        [SESSION_LOST] = "lost",
    };
    if (w->draining && w->state == SESSION_LIVE)
        return "draining";
    return w->held > 0 && w->state == SESSION_LIVE ? "busy" : words[w->state];
}

int fleet_status(
    WorkerStatus **out, const struct session *s, const char *job, int64_t now, struct err *e)
{
    WorkerStatus *w = malloc(sizeof *w);
    int rc;

    if (!w)
        return err_set(e, E_NOMEM, "out of memory");
    worker_status__init(w);
    w->has_cores = w->has_threads = w->has_memory = w->has_seconds_silent = true;
    w->cores = s->cores;
    w->threads = s->threads;
    w->memory = s->memory;
    w->has_executor_memory = s->executor_memory > 0;
    w->executor_memory = s->executor_memory;
    w->seconds_silent = (double)(now - s->worker->heard_ms) / 1000;
    rc = field_text(&w->name, s->name, e);
    if (rc == OK)
        rc = field_text(&w->state, state_word(s->worker), e);
    if (rc == OK)
        rc = field_text(&w->host, s->host, e);
    if (rc == OK && job)
        rc = field_text(&w->job, job, e);
    if (rc == OK)
        rc = copy_words(&w->numeric_classes, &w->n_numeric_classes, s->classes, s->n_classes, e);
    if (rc == OK)
        rc = copy_words(&w->labels, &w->n_labels, s->labels, s->n_labels, e);
    if (rc != OK) {
        message_free(w);
        return rc;
    }
    *out = w;
    return OK;
}
