/* Whatever stands in a JSON file is refused with its place or can be walked to the end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void walk(const struct json *v)
{
    struct buf text = { 0 };
    size_t n = 0;
    const char *p = json_text(v, &n);

    must((p != NULL) == (json_kind(v) == JSON_STRING_));
    if (p)
        must(json_string(&text, p, n) == OK && text.n >= n + 2);
    buf_free(&text);
    for (size_t i = 0; i < json_size(v); i++) {
        const struct json *child = json_at(v, i);
        if (json_kind(v) == JSON_OBJECT_) {
            child = json_value(v, i);
            must(json_get(v, json_key(v, i)) == child);
        }
        must(child != NULL);
        walk(child);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct json *root = NULL;
    struct err e = ERR_INIT;

    if (json_parse(&root, (const char *)p, n, &e) != OK)
        must(!root && strchr(e.msg, ':'));
    else
        walk(root);
    json_free(root);
    return 0;
}
