#ifndef WORKERS_IMPORT_PRINT_H
#define WORKERS_IMPORT_PRINT_H

#include "proto/message.h"

/* What an input holds, for people. Control bytes are shown escaped. OK or E_NOMEM. */
int import_table(struct buf *out, const InspectedInput *m);

#endif
