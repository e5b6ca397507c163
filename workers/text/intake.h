#ifndef WORKERS_TEXT_INTAKE_H
#define WORKERS_TEXT_INTAKE_H

#include "proto/message.h"

/* What has become of people's records, over all inputs of a task: read = the sum of all fates. */
enum fate {
    FATE_USED,
    FATE_EMPTY,        /* blank text */
    FATE_DUPLICATE,    /* raw text, byte for byte as one before */
    FATE_NOT_COMPARED, /* fewer than two answers that are ranked */
    FATE_LABELLED_BAD, /* an answer that is labelled as not to be learnt from */
    FATE_UNDECODABLE,  /* bytes that are no characters */
    FATE_BROKEN,       /* anything else that is wrong with it */
    FATES,
    FATE_IN_PARTS = FATES /* its parts were counted, one by one */
};
const char *fate_name(enum fate fate); /* "used", "empty", "duplicate", … */

struct intake_counts {
    uint64_t files, refused; /* of files: those that could not be read at all */
    uint64_t read;           /* records; of raw text: documents */
    uint64_t fates[FATES];
    uint64_t items; /* documents, demonstrations, rankings or prompts that came of those used */
};

struct intake;
int intake_new(struct intake **out, struct err *e);
void intake_free(struct intake *im);
const struct intake_counts *intake_counts(const struct intake *im);
/* The first ten things that were wrong, a line each; "" without. Borrowed. */
const char *intake_complaints(const struct intake *im);
/* Files that are not in UTF-8, and what they were read as: the first ten. */
const char *intake_notes(const struct intake *im);

#endif
