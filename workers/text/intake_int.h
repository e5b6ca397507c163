#ifndef WORKERS_TEXT_INTAKE_INT_H
#define WORKERS_TEXT_INTAKE_INT_H

#include "workers/text/hash_set.h"
#include "workers/text/intake.h"
#include "workers/text/source.h"

struct intake {
    struct intake_counts counts;
    const Reading *how; /* of the input that is being read; borrowed */
    struct buf complaints, notes;
    unsigned n_complaints, n_notes;
    bool spoilt; /* something was wrong, and that ends it: what follows is looked at, not used */
    bool judged; /* intake_verdict has said so */
    struct hash_set seen; /* what documents there were: 8 bytes of SHA-256 each */
};

/* Ten complaints are enough to stop. */
#define COMPLAINTS 10

/* A record has been looked at: rc is what came of it (E_INPUT: e says what is wrong). Counts it and
 * gives what to return: OK to go on. line: where it began; number: in an array, else 0. */
int intake_settle(struct intake *im, const struct source *s, size_t line, size_t number, int rc,
    enum fate fate, struct err *e);
/* A file that cannot be read, or not further; e says why. OK: go on with the next. */
int intake_refuse(struct intake *im, const char *path, size_t line, struct err *e);
/* A file was opened: notes it when its encoding was told by its bytes. */
int intake_note(struct intake *im, const struct source *s, struct err *e);
/* At the end of an input: E_INPUT with the complaints when they are to stop. */
int intake_verdict(struct intake *im, struct err *e);
bool intake_judged(const struct intake *im);
/* True: such a document was there before. Remembers it. */
int intake_seen(bool *seen, struct intake *im, struct span text, struct err *e);

#endif
