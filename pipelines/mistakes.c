#include "pipelines/mistakes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

#define KEPT_MAX 200

struct site site_of(enum site_list list, uint32_t index, const char *key)
{
    return (struct site){ .list = list, .index = index, .keys = { key }, .item = -1 };
}

struct site site_key(struct site at, const char *key)
{
    for (size_t i = 0; i < SITE_KEYS && at.item < 0; i++) {
        if (!at.keys[i]) {
            at.keys[i] = key;
            break;
        }
    }
    return at;
}

struct site site_item(struct site at, size_t item)
{
    at.item = (int)item;
    return at;
}

static bool same_site(const struct site *a, const struct site *b)
{
    if (a->list != b->list || a->index != b->index || a->item != b->item)
        return false;
    for (size_t i = 0; i < SITE_KEYS; i++) {
        if (!a->keys[i] || !b->keys[i])
            return a->keys[i] == b->keys[i];
        if (strcmp(a->keys[i], b->keys[i]) != 0)
            return false;
    }
    return true;
}

static bool known(const struct mistakes *m, const struct site *at, const char *what)
{
    for (size_t i = 0; i < m->n; i++)
        if (same_site(&m->items[i].at, at) && strcmp(m->items[i].what, what) == 0)
            return true;
    return false;
}

static struct mistake *append(
    struct mistakes *m, const struct site *at, const char *what, const char *help)
{
    struct mistake one = { .at = *at };

    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 8;
        struct mistake *more = realloc(m->items, cap * sizeof *more);
        if (!more)
            return NULL;
        m->items = more;
        m->cap = cap;
    }
    one.what = strdup(what);
    one.help = help ? strdup(help) : NULL;
    if (!one.what || (help && !one.help)) {
        free(one.what);
        free(one.help);
        return NULL;
    }
    m->items[m->n] = one;
    return &m->items[m->n++];
}

struct mistake *mistake_add(
    struct mistakes *m, const struct site *at, const char *help, const char *fmt, ...)
{
    struct mistake *one;
    char what[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    what[utf8_whole(what, strlen(what))] = '\0';
    if (m->n == KEPT_MAX || known(m, at, what))
        return NULL;
    one = append(m, at, what, help && help[0] ? help : NULL);
    m->no_memory |= !one;
    return one;
}

void mistake_empty(struct mistakes *m, const struct site *at, const char *key)
{
    struct mistake *one = mistake_add(m, at, NULL, "'%s' is empty", key);

    if (one)
        one->reader = READER_TELLS_MISSING | READER_TELLS_WRONG;
}

bool mistakes_full(const struct mistakes *m)
{
    return m->n == KEPT_MAX || m->no_memory;
}

void mistakes_free(struct mistakes *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->items[i].what);
        free(m->items[i].help);
    }
    free(m->items);
    *m = (struct mistakes){ 0 };
}

const char *refusal_what(char *msg, const char *path, const char *value, const char **help)
{
    static const char *const helps[] = { "; did you mean ", "; one of: " };
    size_t n = strlen(path), k = strlen(value);
    char *cut = NULL;

    if (strncmp(msg, path, n) == 0 && msg[n] == '=' && strncmp(msg + n + 1, value, k) == 0 &&
        strncmp(msg + n + 1 + k, ": ", 2) == 0)
        msg += n + k + 3;
    for (size_t i = 0; i < sizeof helps / sizeof *helps && !cut; i++)
        cut = strstr(msg, helps[i]);
    if (cut)
        *cut = '\0';
    *help = cut ? cut + 2 : NULL;
    return msg;
}
