#include "proto/json.h"

#include <stdlib.h>
#include <string.h>

/* jansson declares a json_string of its own. */
#define json_string jansson_string
#include <jansson.h>
#undef json_string

#include "proto/utf8.h"

#define DEPTH_MAX 64
#define SORTED_FROM 16 /* keys from which a lookup goes by the sorted index */

/* jansson's tree is kept for its strings only; ours gives the i-th element at once. */
struct json {
    enum json_type kind;
    double number; /* of a bool: 1 or 0 */
    const char *text, *key;
    size_t text_n;
    struct json *items;
    size_t n;
    const struct json **sorted; /* by key; NULL in small objects */
    json_t *document;           /* the root only */
};

/* jansson's own limit is 2,048 levels of recursion. */
static int check_depth(const char *p, size_t n, struct err *e)
{
    size_t line = 1, start = 0;
    int depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            line++;
            start = i + 1;
        }
        if (quoted) {
            if (p[i] == '\\')
                i++;
            else
                quoted = p[i] != '"';
        } else if (p[i] == '"') {
            quoted = true;
        } else if (p[i] == '{' || p[i] == '[') {
            if (++depth > DEPTH_MAX)
                return err_set(e, E_INPUT, "%zu:%zu: nested more than 64 levels deep", line,
                    utf8_count(p + start, i - start) + 1);
        } else if (p[i] == '}' || p[i] == ']') {
            depth--;
        }
    }
    return OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const struct json *const *)a)->key, (*(const struct json *const *)b)->key);
}

static int sort_keys(struct json *v)
{
    if (v->n < SORTED_FROM)
        return OK;
    v->sorted = malloc(v->n * sizeof(*v->sorted));
    if (!v->sorted)
        return E_NOMEM;
    for (size_t i = 0; i < v->n; i++)
        v->sorted[i] = &v->items[i];
    qsort(v->sorted, v->n, sizeof(*v->sorted), by_key);
    return OK;
}

static int convert(struct json *v, json_t *from);

static int convert_object(struct json *v, json_t *from)
{
    const char *key;
    json_t *value;
    int rc = OK;

    v->kind = JSON_OBJECT_;
    v->items = calloc(json_object_size(from) + 1, sizeof *v->items);
    if (!v->items)
        return E_NOMEM;
    json_object_foreach(from, key, value)
    {
        struct json *item = &v->items[v->n++];
        item->key = key;
        rc = convert(item, value);
        if (rc != OK)
            return rc;
    }
    return sort_keys(v);
}

static int convert_array(struct json *v, json_t *from)
{
    size_t n = json_array_size(from);
    int rc = OK;

    v->kind = JSON_ARRAY_;
    v->items = calloc(n + 1, sizeof *v->items);
    if (!v->items)
        return E_NOMEM;
    for (v->n = 0; v->n < n && rc == OK; v->n++)
        rc = convert(&v->items[v->n], json_array_get(from, v->n));
    return rc;
}

static int convert(struct json *v, json_t *from)
{
    switch (json_typeof(from)) {
    case JSON_OBJECT:
        return convert_object(v, from);
    case JSON_ARRAY:
        return convert_array(v, from);
    case JSON_STRING:
        v->kind = JSON_STRING_;
        v->text = json_string_value(from);
        v->text_n = json_string_length(from);
        return OK;
    case JSON_INTEGER:
    case JSON_REAL:
        v->kind = JSON_NUMBER_;
        v->number = json_number_value(from);
        return OK;
    case JSON_TRUE:
    case JSON_FALSE:
        v->kind = JSON_BOOL_;
        v->number = json_is_true(from);
        return OK;
    case JSON_NULL:
        v->kind = JSON_NULL_;
        return OK;
    }
    return OK;
}

static void free_items(struct json *v)
{
    for (size_t i = 0; i < v->n; i++)
        free_items(&v->items[i]);
    free(v->items);
    free(v->sorted);
}

void json_free(struct json *root)
{
    if (!root)
        return;
    free_items(root);
    json_decref(root->document);
    free(root);
}

/* jansson quotes what it stumbled over, which may be anything. Two of its sentences are about
 * itself. */
static const char *sentence(const json_error_t *theirs)
{
    switch ((int)json_error_code(theirs)) {
    case json_error_end_of_input_expected:
        return "something stands behind the value";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a string holds a NUL character, \\u0000";
    }
    return theirs->text;
}

static int syntax_error(const json_error_t *theirs, struct err *e)
{
    const char *theirs_text = sentence(theirs);
    struct buf text = { 0 };
    int line = theirs->line > 0 ? theirs->line : 1;
    int rc;

    if (json_error_code(theirs) == json_error_out_of_memory ||
        utf8_escape(&text, theirs_text, strlen(theirs_text)) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    else
        rc =
            err_set(e, E_INPUT, "%d:%d: %s", line, theirs->column > 0 ? theirs->column : 1, text.p);
    buf_free(&text);
    return rc;
}

int json_parse(struct json **out, const char *p, size_t n, struct err *e)
{
    struct json *root;
    json_error_t theirs;
    int rc = check_depth(p, n, e);

    if (rc != OK)
        return rc;
    root = calloc(1, sizeof *root);
    if (!root)
        return err_set(e, E_NOMEM, "out of memory");
    root->document = json_loadb(
        p ? p : "", n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &theirs);
    if (!root->document)
        rc = syntax_error(&theirs, e);
    else if (convert(root, root->document) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc != OK) {
        json_free(root);
        return rc;
    }
    *out = root;
    return OK;
}

enum json_type json_kind(const struct json *v)
{
    return v->kind;
}

const struct json *json_get(const struct json *object, const char *key)
{
    size_t low = 0, high = object->n;

    if (object->kind != JSON_OBJECT_)
        return NULL;
    if (!object->sorted) {
        for (size_t i = 0; i < object->n; i++)
            if (strcmp(object->items[i].key, key) == 0)
                return &object->items[i];
        return NULL;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(object->sorted[middle]->key, key);
        if (order == 0)
            return object->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

size_t json_size(const struct json *v)
{
    return v->n;
}

const struct json *json_at(const struct json *array, size_t i)
{
    return array->kind == JSON_ARRAY_ && i < array->n ? &array->items[i] : NULL;
}

const char *json_text(const struct json *v, size_t *n)
{
    if (v->kind != JSON_STRING_)
        return NULL;
    if (n)
        *n = v->text_n;
    return v->text;
}

double json_number(const struct json *v, double otherwise)
{
    return v->kind == JSON_NUMBER_ ? v->number : otherwise;
}

bool json_bool(const struct json *v, bool otherwise)
{
    return v->kind == JSON_BOOL_ ? v->number != 0 : otherwise;
}

const char *json_key(const struct json *object, size_t i)
{
    return object->kind == JSON_OBJECT_ && i < object->n ? object->items[i].key : NULL;
}

const struct json *json_value(const struct json *object, size_t i)
{
    return object->kind == JSON_OBJECT_ && i < object->n ? &object->items[i] : NULL;
}
