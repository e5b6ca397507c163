#include "proto/yaml.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "proto/utf8.h"
#include "proto/yaml_int.h"

#define DEPTH_MAX 64
#define NODES_MAX 1000000

struct yaml {
    struct yaml_node *root;
};

/* libyaml's events → tree. `key` waits for its value, which is always the next node. */
struct builder {
    yaml_parser_t parser;
    struct diags *d;
    struct yaml_node *root;
    struct yaml_node *open[DEPTH_MAX];
    size_t depth, nodes, documents;
    char *key;
    struct place key_at;
};

/* libyaml's problems in our words. at_start: the place is where the broken thing began. */
static const struct problem {
    const char *theirs, *ours, *help;
    bool at_start;
} problems[] = {
    { "mapping values are not allowed in this context", "a ':' is not allowed here",
        "check the indentation, or put the text in quotes", false },
    { "found character that cannot start any token", "a value cannot begin with this character",
        "put the text in quotes, and indent with blanks, not tabs", false },
    { "could not find expected ':'", "a ':' is missing after this key", NULL, true },
    { "did not find expected key", "expected a key", "check the indentation", false },
    { "did not find expected '-' indicator", "expected '- '", "check the indentation", false },
    { "did not find expected ',' or ']'", "a ',' or ']' is missing", NULL, false },
    { "did not find expected ',' or '}'", "a ',' or '}' is missing", NULL, false },
    { "did not find expected node content", "expected a value", NULL, false },
    { "found unexpected end of stream", "the quotes are never closed", NULL, true },
    { "found unexpected document indicator", "the quotes are never closed", NULL, true },
    { "found unknown escape character", "unknown escape after '\\'",
        "in single quotes a backslash is only a backslash", false },
    { "did not find expected hexdecimal number", "expected hexadecimal digits", NULL, false },
    { "found invalid Unicode character escape code", "there is no such character", NULL, false },
    { "block sequence entries are not allowed in this context", "a list item is not allowed here",
        "check the indentation", false },
    { "mapping keys are not allowed in this context", "a key is not allowed here",
        "check the indentation", false },
    { "did not find expected alphabetic or numeric character",
        "anchors and aliases are not supported", "put text with '&' or '*' in quotes", true },
    { "did not find expected comment or line break", "unexpected text after '|' or '>'", NULL,
        false },
    { "found a tab character where an indentation space is expected", "a tab cannot indent",
        "indent with blanks", false },
    { "found a tab character that violates indentation", "a tab cannot indent",
        "indent with blanks", false },
    { "did not find expected <document start>", "expected the end of the file", NULL, false },
};

static void node_free(struct yaml_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->n_items; i++)
        node_free(node->items[i]);
    free(node->items);
    free(node->key);
    free(node->text);
    free(node);
}

static struct place place_of(const yaml_mark_t *start, const yaml_mark_t *end)
{
    struct place at = { (int)start->line + 1, (int)start->column + 1, 1 };

    if (end->line == start->line && end->column > start->column)
        at.width = (int)(end->column - start->column);
    return at;
}

static struct place scalar_place(const yaml_event_t *ev)
{
    const char *text = (const char *)ev->data.scalar.value;
    struct place at = place_of(&ev->start_mark, &ev->end_mark);

    if (ev->end_mark.line == ev->start_mark.line)
        at.width += utf8_columns(text) - (int)utf8_count(text, strlen(text));
    return at;
}

static int refuse(struct builder *b, struct place at, const char *help, const char *what)
{
    diags_add(b->d, at.line, at.column, at.width, help, "%s", what);
    return E_INPUT;
}

static int syntax_error(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    const char *theirs = p->problem ? p->problem : "unknown";

    if (p->error == YAML_MEMORY_ERROR)
        return E_NOMEM;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        const struct problem *row = &problems[i];
        if (strcmp(row->theirs, theirs) == 0) {
            const yaml_mark_t *m = row->at_start ? &p->context_mark : &p->problem_mark;
            return refuse(b, place_of(m, m), row->help, row->ours);
        }
    }
    diags_add(b->d, (int)p->problem_mark.line + 1, (int)p->problem_mark.column + 1, 1, NULL,
        "malformed YAML: %s", theirs);
    return E_INPUT;
}

static int append(struct yaml_node *parent, struct yaml_node *child)
{
    size_t n = parent->n_items;

    if ((n & (n - 1)) == 0) { /* full at every power of two */
        struct yaml_node **more = realloc(parent->items, (n ? 2 * n : 1) * sizeof(*more));
        if (!more)
            return E_NOMEM;
        parent->items = more;
    }
    parent->items[parent->n_items++] = child;
    return OK;
}

/* Makes a node and hangs it into the tree; with the key that waits for it. */
static int add_node(struct builder *b, enum node_type type, struct place at, struct yaml_node **out)
{
    struct yaml_node *node;

    if (++b->nodes > NODES_MAX)
        return refuse(b, at, NULL, "the file has more than 1000000 values");
    if (b->depth == DEPTH_MAX)
        return refuse(b, at, NULL, "nested more than 64 levels deep");
    node = calloc(1, sizeof *node);
    if (!node)
        return E_NOMEM;
    node->type = type;
    node->at = at;
    if (b->key) {
        node->key = b->key;
        node->key_at = b->key_at;
        b->key = NULL;
    }
    *out = node;
    if (b->depth == 0) {
        b->root = node;
        return OK;
    }
    if (append(b->open[b->depth - 1], node) == OK)
        return OK;
    node_free(node);
    return E_NOMEM;
}

static bool key_expected(const struct builder *b)
{
    return b->depth > 0 && b->open[b->depth - 1]->type == NODE_MAPPING && !b->key;
}

static void refuse_marks(
    struct builder *b, const yaml_char_t *anchor, const yaml_char_t *tag, struct place at)
{
    if (anchor)
        refuse(b, at, "put text that begins with '&' in quotes", "anchors are not supported");
    if (tag)
        refuse(b, at, "put text that begins with '!' in quotes", "tags are not supported");
}

static int on_scalar(struct builder *b, const yaml_event_t *ev)
{
    struct place at = scalar_place(ev);
    struct yaml_node *node;
    char *text;
    int rc;

    refuse_marks(b, ev->data.scalar.anchor, ev->data.scalar.tag, at);
    text = malloc(ev->data.scalar.length + 1);
    if (!text)
        return E_NOMEM;
    memcpy(text, ev->data.scalar.value, ev->data.scalar.length);
    text[ev->data.scalar.length] = '\0';
    if (key_expected(b)) {
        b->key = text;
        b->key_at = at;
        return OK;
    }
    rc = add_node(b, NODE_SCALAR, at, &node);
    if (rc != OK) {
        free(text);
        return rc;
    }
    node->text = text;
    node->n = ev->data.scalar.length;
    node->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return OK;
}

static int on_alias(struct builder *b, const yaml_event_t *ev)
{
    struct place at = place_of(&ev->start_mark, &ev->end_mark);
    struct yaml_node *node;
    int rc;

    refuse(b, at, "put text that begins with '*' in quotes", "aliases are not supported");
    if (key_expected(b))
        return E_INPUT;
    rc = add_node(b, NODE_SCALAR, at, &node);
    if (rc != OK)
        return rc;
    node->broken = true;
    node->text = strdup("");
    return node->text ? OK : E_NOMEM;
}

static int open_node(struct builder *b, enum node_type type, const yaml_event_t *ev)
{
    struct place at = place_of(&ev->start_mark, &ev->start_mark);
    struct yaml_node *node;
    int rc;

    if (type == NODE_MAPPING)
        refuse_marks(b, ev->data.mapping_start.anchor, ev->data.mapping_start.tag, at);
    else
        refuse_marks(b, ev->data.sequence_start.anchor, ev->data.sequence_start.tag, at);
    if (key_expected(b))
        return refuse(b, at, NULL, "a key must be one word");
    rc = add_node(b, type, at, &node);
    if (rc == OK)
        b->open[b->depth++] = node;
    return rc;
}

static int by_key(const void *a, const void *b)
{
    const struct yaml_node *x = *(struct yaml_node *const *)a, *y = *(struct yaml_node *const *)b;
    int order = strcmp(x->key, y->key);

    if (order != 0)
        return order;
    if (x->key_at.line != y->key_at.line)
        return x->key_at.line < y->key_at.line ? -1 : 1;
    return x->key_at.column < y->key_at.column ? -1 : x->key_at.column > y->key_at.column;
}

/* Tells of keys that stand twice, and takes all but the first out of the tree. */
static int drop_duplicates(struct builder *b, struct yaml_node *mapping)
{
    size_t n = mapping->n_items, kept = 0, found = 0;
    struct yaml_node **sorted = malloc((n ? n : 1) * sizeof(*sorted));

    if (!sorted)
        return E_NOMEM;
    if (n)
        memcpy(sorted, mapping->items, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_key);
    for (size_t i = 1, first = 0; i < n; i++) {
        char help[64];
        if (strcmp(sorted[i]->key, sorted[first]->key) != 0) {
            first = i;
            continue;
        }
        snprintf(help, sizeof help, "it was first given in line %d", sorted[first]->key_at.line);
        diags_add(b->d, sorted[i]->key_at.line, sorted[i]->key_at.column, sorted[i]->key_at.width,
            help, "key '%s' is given twice", sorted[i]->key);
        sorted[i]->twice = true;
        found++;
    }
    free(sorted);
    for (size_t i = 0; i < n && found > 0; i++) {
        if (mapping->items[i]->twice)
            node_free(mapping->items[i]);
        else
            mapping->items[kept++] = mapping->items[i];
    }
    if (found > 0)
        mapping->n_items = kept;
    return OK;
}

static int close_node(struct builder *b)
{
    struct yaml_node *node = b->open[--b->depth];

    return node->type == NODE_MAPPING ? drop_duplicates(b, node) : OK;
}

static int on_event(struct builder *b, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++b->documents > 1)
            return refuse(b, place_of(&ev->start_mark, &ev->start_mark), NULL,
                "a file holds one document only");
        return OK;
    case YAML_SCALAR_EVENT:
        return on_scalar(b, ev);
    case YAML_ALIAS_EVENT:
        return on_alias(b, ev);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(b, NODE_SEQUENCE, ev);
    case YAML_MAPPING_START_EVENT:
        return open_node(b, NODE_MAPPING, ev);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_node(b);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return OK;
    }
    return OK;
}

static int build(struct builder *b)
{
    bool end = false;
    int rc = OK;

    while (rc == OK && !end) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&b->parser, &ev))
            return syntax_error(b);
        rc = on_event(b, &ev);
        end = ev.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&ev);
    }
    return rc;
}

/* libyaml tells byte offsets only: what it would refuse to read is told here, with its place. */
static int check_characters(const char *text, size_t n, struct diags *d)
{
    int line = 1, column = 1;

    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t length = utf8_decode(&code, text + i, n - i);
        if (length == 0) {
            diags_add(d, line, column, 1, "save the file as UTF-8", "this is not UTF-8 text");
            return E_INPUT;
        }
        if ((code < 0x20 && code != '\t' && code != '\n' && code != '\r') || code == 0x7f ||
            (code >= 0x80 && code < 0xa0 && code != 0x85) || (code >= 0xfffe && code <= 0xffff) ||
            code == 0xfeff) {
            diags_add(d, line, column, 1, NULL, "character U+%04X is not allowed", (unsigned)code);
            return E_INPUT;
        }
        line += code == '\n';
        column = code == '\n' ? 1 : column + 1;
        i += length;
    }
    return OK;
}

int yaml_parse(struct yaml **out, const char *text, size_t n, struct diags *d)
{
    struct builder b = { .d = d };
    struct yaml *y = NULL;
    int rc;

    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
        text += 3;
        n -= 3;
    }
    rc = check_characters(text, n, d);
    if (rc != OK)
        return rc;
    if (!yaml_parser_initialize(&b.parser))
        return E_NOMEM;
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, n);
    rc = build(&b);
    if (rc == OK && !b.root) {
        diags_add(d, 0, 0, 1, NULL, "the file is empty");
        rc = E_INPUT;
    }
    if (rc == OK) {
        y = malloc(sizeof *y);
        rc = y ? OK : E_NOMEM;
    }
    yaml_parser_delete(&b.parser);
    free(b.key);
    if (rc != OK) {
        node_free(b.root);
        return rc;
    }
    y->root = b.root;
    *out = y;
    return OK;
}

/* Hidden: libyaml exports a function of this name, and must not be given ours. */
__attribute__((visibility("hidden"))) void yaml_free(struct yaml *y)
{
    if (y)
        node_free(y->root);
    free(y);
}

const struct yaml_node *yaml_root(const struct yaml *y)
{
    return y->root;
}

const struct yaml_node *yaml_child(const struct yaml_node *node, const char *key)
{
    char *end;
    unsigned long i;

    if (node->type == NODE_MAPPING)
        for (size_t k = 0; k < node->n_items; k++)
            if (strcmp(node->items[k]->key, key) == 0)
                return node->items[k];
    if (node->type != NODE_SEQUENCE || key[0] < '0' || key[0] > '9')
        return NULL;
    i = strtoul(key, &end, 10);
    return *end == '\0' && i < node->n_items ? node->items[i] : NULL;
}

void yaml_place(const struct yaml_node *node, bool of_key, int *line, int *column, int *width)
{
    const struct place *at = of_key && node->key ? &node->key_at : &node->at;

    *line = at->line;
    *column = at->column;
    *width = at->width;
}
