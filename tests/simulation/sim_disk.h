#ifndef TESTS_SIMULATION_SIM_DISK_H
#define TESTS_SIMULATION_SIM_DISK_H

#include "store/state.h"
#include "store/store.h"

/* What the simulation puts in place of LMDB: the same headers, in memory. */

void disk_wipe(void);
bool disk_has(enum state_table table, struct state_key key); /* committed */
size_t disk_count(enum state_table table);
uint64_t disk_version(enum state_table table); /* rises with every committed row */
int disk_get(enum state_table table, struct state_key key, const ProtobufCMessageDescriptor *type,
    ProtobufCMessage **out, struct err *e); /* committed; NULL: not there */

/* The next commit fails, and nothing of it is kept. */
void disk_fail(void);
/* Calls each() for every row that the last commit has changed and kept; then forgets them. */
void disk_changed(
    void (*each)(void *ctx, enum state_table t, struct state_key key, struct span row), void *ctx);

/* Artifacts have no bytes here, only ids. */
void artifacts_wipe(void);
void artifacts_add(const struct id *id);
void artifacts_remove(const struct id *id);

#endif
