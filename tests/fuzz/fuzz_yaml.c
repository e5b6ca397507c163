/* Whatever stands in a pipeline file, all of it is told, and a right one packs and reads back. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/message.h"
#include "proto/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void read_back(const ProtobufCMessage *m)
{
    ProtobufCMessage *copy = NULL;
    struct err e = ERR_INIT;
    struct id a, b;

    must(message_copy(&copy, m, &e) == OK);
    must(message_id(&a, m, &e) == OK && message_id(&b, copy, &e) == OK && id_equal(&a, &b));
    yaml_override(copy, "base.steps", "5", &e);
    message_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct diags *d = diags_new();
    ProtobufCMessage *m = NULL;
    struct yaml *y = NULL;
    struct buf told = { 0 };

    must(d && diags_file(d, "fuzz.yaml", (const char *)p, n) == OK);
    if (yaml_parse(&y, (const char *)p, n, d) != OK)
        must(!y && diags_count(d) > 0);
    else if (yaml_message(&m, &pipeline__descriptor, yaml_root(y), d) != OK)
        must(!m && diags_count(d) > 0);
    else
        read_back(m);
    must(diags_print(d, &told) == OK);
    message_free(m);
    yaml_free(y);
    diags_free(d);
    buf_free(&told);
    return 0;
}
