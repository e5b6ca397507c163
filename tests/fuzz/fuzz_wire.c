/* Whatever a peer sends is refused or is a message that goes out again as it came in. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/json.h"
#include "proto/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct buf first = { 0 }, second = { 0 }, json = { 0 };
    Envelope *m = NULL, *again = NULL;
    struct err e = ERR_INIT;

    if (wire_decode(&m, p, n, &e) != OK) {
        must(!m && e.msg[0]);
        return 0;
    }
    must(message_kind(&m->base) != NULL);
    must(json_message(&json, &m->base, true) == OK);
    if (wire_encode(&first, m, &e) == OK) {
        must(wire_decode(&again, first.p, first.n, &e) == OK);
        must(wire_encode(&second, again, &e) == OK);
        must(first.n == second.n);
        message_fill_defaults(&again->base);
    }
    message_free(m);
    message_free(again);
    buf_free(&first);
    buf_free(&second);
    buf_free(&json);
    return 0;
}
