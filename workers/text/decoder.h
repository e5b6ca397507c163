#ifndef WORKERS_TEXT_DECODER_H
#define WORKERS_TEXT_DECODER_H

#include "workers/text/bytes_in.h"
#include "workers/text/encoding.h"

/* A file's bytes → UTF-8 without byte-order mark, lines ended by LF (CR LF becomes LF). Each byte
 * that is no character in the file's encoding becomes UNDECODABLE, which UTF-8 never holds: who
 * cuts the text into records finds there which of them not to trust. */
#define UNDECODABLE 0xff

struct decoder;
/* declared: DETECT, or what the file is in unless a byte-order mark says otherwise. E_INPUT: it is
 * no text, or its encoding cannot be told. */
int decoder_new(
    struct decoder **out, struct bytes_in in, Reading__Encoding declared, struct err *e);
void decoder_free(struct decoder *d);
int decoder_next(void *decoder, struct span *out, struct err *e); /* as bytes_in wants it */
Reading__Encoding decoder_encoding(const struct decoder *d);      /* never DETECT */

#endif
