#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

/* How both environments are laid out. A version is raised when what is stored could no longer be
 * read; an environment of another version is refused at open.
 *
 *   HOME/store   about      "schema" → 4 bytes big-endian, "uuid" → 32 bytes
 *                chunk      SHA-256 → bytes, 1 to CHUNK_SIZE of them
 *                manifest   SHA-256 → Manifest
 *                sum        SHA-256 of a chunk → 8 bytes, its sum; older stores lack some
 *   HOME/state   about      as above
 *                meta …     the tables of store/state.h
 *   HOME/orchestrator.lock  held by the one process that writes HOME/state */
#define STORE_SCHEMA 1
#define STATE_SCHEMA 1

#define STORE_FOLDER "store"
#define STATE_FOLDER "state"
#define STATE_LOCK "orchestrator.lock"

#define DB_ABOUT "about"
#define KEY_SCHEMA "schema"
#define KEY_UUID "uuid"

#define DB_CHUNK "chunk"
#define DB_MANIFEST "manifest"
#define DB_SUM "sum"

/* In the order of enum state_table. */
#define DB_STATE_TABLES                                                       \
    {                                                                         \
        "meta", "run", "job", "answer", "jobanswer", "log", "metric", "label" \
    }

/* Address space, not disk: every process that opens an environment reserves so much of it. */
#define STORE_MAP_SIZE ((size_t)1 << 40)
#define STATE_MAP_SIZE ((size_t)1 << 36)
#define LEAST_MAP_SIZE ((size_t)1 << 28)

#define RECORD_MAX ((size_t)16 << 20)            /* bytes, one packed record */
#define CHECKPOINT_HEADER_MAX ((size_t)16 << 20) /* bytes, packed */
#define CHECKPOINT_ALIGN 64
#define FILE_PART ((size_t)256 << 10) /* bytes of a file in one record */

#endif
