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
static const struct yaml_node *named(const struct yaml_node *node, const char *list,
    const char *name, size_t i)
{
    const struct yaml_node *all = yaml_child(node, list), *one = NULL;

    if (all)
        one = yaml_child(all, name);
    if (all && !one)
        one = at_index(all, i);
    return one;
}

/* An axis is `name: [values]`, or an element {name: …, values: […]}. */
static const struct yaml_node *axis_node(const struct yaml_node *stage, const Stage *s,
    const char *name)
{
    const struct yaml_node *node = NULL;

    for (size_t i = 0; i < s->n_matrix && !node; i++)
        if (strcmp(s->matrix[i]->name, name) == 0)
            node = named(stage, "matrix", name, i);
    return node && yaml_child(node, "values") ? yaml_child(node, "values") : node;
}

static const struct yaml_node *element(const struct site *at, const struct yaml_node *root,
    const Pipeline *p)
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

void site_place(const struct site *at, const struct yaml_node *root, const Pipeline *p, int *line,
    int *column, int *width)
{
    const struct yaml_node *node = element(at, root, p), *child;
    bool found = true, short_form = at->list == SITE_INPUT;

    if (!node) { /* its whole list is missing */
        *line = *column = 0;
        *width = 1;
        return;
    }
    for (size_t i = 0; i < SITE_KEYS && at->keys[i]; i++) {
        child = yaml_child(node, at->keys[i]);
        if (!child && at->list == SITE_STAGE && message_kind(&p->stages[at->index]->base))
            child = yaml_child(node, message_kind(&p->stages[at->index]->base));
        if (i == 1 && strcmp(at->keys[0], "matrix") == 0 && at->list == SITE_STAGE)
            child = axis_node(element(at, root, p), p->stages[at->index], at->keys[1]);
        found = child != NULL;
        node = found ? child : node;
    }
    child = at->item >= 0 && found ? at_index(node, (size_t)at->item) : NULL;
    if (child)
        node = child;
    /* `corpus: corpus.txt` is the path itself; a list of one may be written without brackets. */
    yaml_place(node, at->keys[0] && (found ? at->of_key : !short_form || at->of_key), line, column,
        width);
}
