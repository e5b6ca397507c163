#include "pipelines/locate.h"

#include <stdio.h>
#include <string.h>

static const struct yaml_node *at_index(const struct yaml_node *node, size_t i)
{
    char text[24];

    snprintf(text, sizeof text, "%zu", i);
    return yaml_child(node, text);
}

/* An element of a list with names, whether it is written as a list or as a mapping. */
static const struct yaml_node *named(
    const struct yaml_node *node, const char *list, const char *name, size_t i)
{
    const struct yaml_node *all = yaml_child(node, list), *one = NULL;

    if (all)
        one = yaml_child(all, name);
    if (all && !one)
        one = at_index(all, i);
    return one;
}

/* An axis is `name: [values]`, or an element {name: …, values: […]}. */
static const struct yaml_node *axis_node(
    const struct yaml_node *stage, const Stage *s, const char *name)
{
    const struct yaml_node *node = NULL;

    for (size_t i = 0; i < s->n_matrix && !node; i++)
        if (strcmp(s->matrix[i]->name, name) == 0)
            node = named(stage, "matrix", name, i);
    return node && yaml_child(node, "values") ? yaml_child(node, "values") : node;
}

static const struct yaml_node *element(
    const struct site *at, const struct yaml_node *root, const Pipeline *p)
{
    switch (at->list) {
    case SITE_PIPELINE:
        return root;
    case SITE_INPUT:
        return named(root, "inputs", p->inputs[at->index]->name, at->index);
    case SITE_STAGE:
        return named(root, "stages", p->stages[at->index]->name, at->index);
    }
    return root;
}

/* One key down; what belongs to the stage's kind may stand below it: chat: {ppo: {…}}. */
static const struct yaml_node *below(
    const struct yaml_node *node, const char *key, const Stage *stage)
{
    const struct yaml_node *child = yaml_child(node, key);
    const char *kind = stage && !child ? message_kind(&stage->base) : NULL;
    const struct yaml_node *inner = kind ? yaml_child(node, kind) : NULL;

    return inner ? yaml_child(inner, key) : child;
}

bool site_place(const struct site *at, const struct yaml_node *root, const Pipeline *p, int *line,
    int *column, int *width)
{
    const struct yaml_node *node = element(at, root, p), *child = node;
    const Stage *stage = at->list == SITE_STAGE ? p->stages[at->index] : NULL;
    const char *last = NULL;
    bool of_key = at->of_key;

    for (size_t i = 0; i < SITE_KEYS && at->keys[i] && node; i++) {
        last = at->keys[i];
        child = below(node, last, i == 0 ? stage : NULL);
        if (stage && i == 1 && strcmp(at->keys[0], "matrix") == 0)
            child = axis_node(element(at, root, p), stage, last);
        node = child ? child : node; /* `by: people` leaves out a key that the site has */
    }
    if (!node || (!child && at->list == SITE_PIPELINE)) { /* nothing near it is written */
        *line = *column = 0;
        *width = 1;
        return false;
    }
    if (child && at->item >= 0) { /* a list of one may be written without brackets */
        const struct yaml_node *item = at_index(child, (size_t)at->item);
        node = item ? item : child;
    }
    if (!last || (!child && at->list == SITE_STAGE))
        of_key = true; /* what has no place of its own is the stage's */
    if (last && child && strcmp(last, "name") == 0)
        of_key = false; /* `name: x`; in `x: {…}` the key is the name */
    yaml_place(node, of_key, line, column, width);
    return child != NULL;
}

static bool begins_with(const char *text, const char *path)
{
    size_t n = strlen(path);

    return strncmp(text, path, n) == 0 && (text[n] == '\0' || text[n] == '.');
}

bool site_covers(const struct site *at, const Pipeline *p, const char *path)
{
    static const char *const lists[] = {
        [SITE_PIPELINE] = "", [SITE_INPUT] = "inputs.", [SITE_STAGE] = "stages."
    };
    const char *name = at->list == SITE_PIPELINE ? ""
                       : at->list == SITE_INPUT  ? p->inputs[at->index]->name
                                                 : p->stages[at->index]->name;
    size_t skipped = strlen(lists[at->list]), used;
    char full[512];

    if (strncmp(path, lists[at->list], skipped) == 0)
        path += skipped;
    used = (size_t)snprintf(full, sizeof full, "%s", name);
    for (size_t i = 0; i < SITE_KEYS && at->keys[i] && used < sizeof full; i++)
        used +=
            (size_t)snprintf(full + used, sizeof full - used, "%s%s", used ? "." : "", at->keys[i]);
    return begins_with(full, path);
}
