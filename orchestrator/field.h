#ifndef ORCHESTRATOR_FIELD_H
#define ORCHESTRATOR_FIELD_H

#include "proto/message.h"

/* Filling the fields of messages that message_free will free. */

/* Replaces *field by a copy of text; NULL empties it. */
int field_text(char **field, const char *text, struct err *e);
int field_textf(char **field, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

int field_bytes(ProtobufCBinaryData *field, const struct id *id, struct err *e);

/* Makes room for one more in a repeated field; *items is unchanged on failure. */
void *field_grow(void *items, size_t n, size_t size, struct err *e);

/* Puts copies of `more` over those of the same name, or behind them. At most 64 are kept. */
int field_metrics(Metric ***items, size_t *n, Metric *const *more, size_t n_more, struct err *e);

#endif
