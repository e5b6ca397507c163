#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/parcel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of artifacts, as somebody hands it over. What passes has a name for each item. */
static void read_parcel(const void *p, size_t n)
{
    FILE *f = n > 0 ? fmemopen((void *)(uintptr_t)p, n, "rb") : NULL;
    struct err e = ERR_INIT;
    Parcel *parcel = NULL;

    if (!f)
        return;
    int rc = parcel_read(&parcel, f, NULL, &e);
    if (rc != OK && rc != E_INPUT)
        abort();
    for (size_t i = 0; rc == OK && i < parcel->n_items; i++)
        if (parcel->items[i]->id.len != sizeof(struct id) || !parcel->items[i]->name)
            abort();
    message_free(parcel);
    fclose(f);
}

/* Puts what stands before a head and the sum behind it: a fuzzer does not guess hashes. */
static void read_with_head(const uint8_t *head, size_t n, const uint8_t *rest, size_t n_rest)
{
    const uint8_t length[4] = { (uint8_t)n, (uint8_t)(n >> 8), 0, 0 };
    struct buf file = { 0 };
    struct id sum;

    sha256(&sum, head, n);
    if (buf_add(&file, PARCEL_MAGIC, sizeof PARCEL_MAGIC - 1) == OK &&
        buf_add(&file, length, sizeof length) == OK && buf_add(&file, head, n) == OK &&
        buf_add(&file, sum.b, sizeof sum.b) == OK && buf_add(&file, rest, n_rest) == OK)
        read_parcel(file.p, file.n);
    buf_free(&file);
}

/* The first byte says what the rest is: 'h' the length of a head (2 bytes, little-endian), the head
 * and what follows it, all else a whole file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = size > 2 ? data[1] | (size_t)data[2] << 8 : 0;

    if (size > 3 && data[0] == 'h' && n <= size - 3)
        read_with_head(data + 3, n, data + 3 + n, size - 3 - n);
    else if (size > 0)
        read_parcel(data + 1, size - 1);
    return 0;
}
