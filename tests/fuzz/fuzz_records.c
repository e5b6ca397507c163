#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A manifest that passes must be safe to read an artifact by. */
static void parse_manifest(const uint8_t *p, size_t n)
{
    struct err e = ERR_INIT;
    Manifest *m = NULL;
    uint64_t size = 0;

    if (manifest_parse(&m, p, n, &e) != OK) {
        if (e.code != E_CORRUPT)
            abort();
        return;
    }
    for (size_t i = 0; i < m->n_chunks; i++) {
        size_t chunk = manifest_chunk_size(m, i);
        if (chunk == 0 || chunk > CHUNK_SIZE || m->chunks[i].len != sizeof(struct id))
            abort();
        size += chunk;
    }
    if (size != m->size)
        abort();
    message_free(m);
}

/* The tensors of a header that passes lie within the data and apart from each other. */
static void parse_checkpoint(const uint8_t *p, size_t n, uint64_t data_size)
{
    struct err e = ERR_INIT;
    CheckpointHeader *h = NULL;
    uint64_t end = 0;

    if (checkpoint_header_parse(&h, p, n, data_size, &e) != OK) {
        if (e.code != E_CORRUPT)
            abort();
        return;
    }
    for (size_t i = 0; i < h->n_tensors; i++) {
        const TensorInfo *t = h->tensors[i];
        if (!t->name || t->offset < end || t->size == 0 || t->size > data_size ||
            t->offset > data_size - t->size)
            abort();
        end = t->offset + t->size;
    }
    message_free(h);
}

/* Every type that a records artifact may hold. */
static void parse_records(const uint8_t *p, size_t n)
{
    const ProtobufCMessageDescriptor *const types[] = { &file_part__descriptor,
        &tokenizer_model__descriptor, &example__descriptor, &answer_set__descriptor,
        &ranking__descriptor, &episode__descriptor, &scored__descriptor,
        &ranking_example__descriptor };

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct err e = ERR_INIT;
        ProtobufCMessage *m = NULL;
        if (message_unpack(&m, types[i], p, n, &e) == OK)
            message_free(m);
    }
}

/* The first byte says what the rest is: 'm' a manifest, 'c' the size of the tensor data (8 bytes,
 * little-endian) and a checkpoint's header, all else a record. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t data_size = 0;

    if (size > 0 && data[0] == 'm') {
        parse_manifest(data + 1, size - 1);
    } else if (size > 8 && data[0] == 'c') {
        for (int i = 0; i < 8; i++)
            data_size |= (uint64_t)data[1 + i] << 8 * i;
        parse_checkpoint(data + 9, size - 9, data_size);
    } else if (size > 0) {
        parse_records(data + 1, size - 1);
    }
    return 0;
}
