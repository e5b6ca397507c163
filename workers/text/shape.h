#ifndef WORKERS_TEXT_SHAPE_H
#define WORKERS_TEXT_SHAPE_H

#include "workers/text/intake.h"
#include "workers/text/record.h"

/* The shapes that people's records come in: one row of a table each, with the fields that a record
 * is known by and who reads it. The first row that fits is the record's shape. */

enum gives {
    GIVES_TEXT = 1,
    GIVES_DEMONSTRATION = 2,
    GIVES_RANKING = 4,
    GIVES_PROMPT = 8,
};

struct conversation {
    Turn **turns;
    size_t n;
};

/* Who takes what comes of a record. */
struct shaping {
    enum gives want;
    /* Borrows all. c: the turns of a demonstration, or those before the answers; answers: their
     * texts and tiers, or NULL. With GIVES_TEXT c is NULL and text is given. */
    int (*take)(struct shaping *x, struct conversation *c, Ranking *answers, struct span text,
        struct err *e);
    void *ctx;
    const struct record *record;
    enum fate *fate;
    size_t given; /* of this record */
};

struct shape;
const char *shape_name(const struct shape *s);
unsigned shape_gives(const struct shape *s); /* enum gives, or'ed */
/* The first that fits and gives something of `want`; else the first that fits; NULL: none. */
const struct shape *shape_find(const struct record *r, unsigned want);

/* Reads a record of any shape into x->take. E_INPUT says what is wrong with it, or that it gives
 * something else. *fate: what becomes of it when that is OK. */
int shape_read(struct shaping *x, const struct record *r, enum fate *fate, struct err *e);

/* "demonstrations", "rankings": of one of enum gives. */
const char *gives_name(unsigned gives);

#endif
