#ifndef PROTO_OPTIONS_H
#define PROTO_OPTIONS_H

#include "proto/bytes.h"

/* A program's arguments, read by a table with a row for each option: --name VALUE, --name=VALUE,
 * -n VALUE, -nVALUE; what follows "--" is no option; operands may stand anywhere. Numbers are read
 * strictly: the whole word, in base ten, within the row's limits. */
enum option_kind {
    OPTION_FLAG,  /* bool: becomes true; has no value */
    OPTION_TEXT,  /* const char *: borrows from the arguments */
    OPTION_TEXTS, /* struct option_texts: each time one more */
    OPTION_COUNT, /* uint32_t */
    OPTION_WIDE,  /* uint64_t */
    OPTION_REAL   /* double, finite */
};

#define OPTION_TEXTS_MAX 256
struct option_texts {
    const char *items[OPTION_TEXTS_MAX]; /* borrowed from the arguments */
    size_t n;
};

struct option_row {
    const char *name; /* without its dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    void *value;        /* where it goes, by kind */
    const char *word;   /* what help calls the value: "N", "DIR" */
    const char *help;   /* NULL: one of our own processes gives it, help leaves it out */
    double least, most; /* limits of a number, both included; 0, 0: those of its type */
    const char *alone;  /* the number it means without a value; NULL: a value is a must */
};

/* Sets the values and moves the operands to args[0..*n), in their order. E_INPUT says what is
 * wrong with which option, and which known one is near; rows read before it have their values. */
int options_read(const struct option_row *rows, size_t n_rows, char **args, int *n, struct err *e);

/* A line for each row, its help in a column of its own. */
int options_help(struct buf *out, const struct option_row *rows, size_t n_rows);

#endif
