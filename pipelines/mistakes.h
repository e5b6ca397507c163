#ifndef PIPELINES_MISTAKES_H
#define PIPELINES_MISTAKES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is wrong with a pipeline, by place in the message: whoever has read it from a file knows
 * the line, whoever has got it from the wire knows none. */

#define SITE_KEYS 4

struct site {
    enum site_list { SITE_PIPELINE, SITE_INPUT, SITE_STAGE } list;
    uint32_t index;              /* of the input or stage */
    const char *keys[SITE_KEYS]; /* on the way down, NULL ends them; one that is written in short
                                    (by: people) may be missing in the file. Borrowed */
    int item;                    /* of the list there; -1: none */
    bool of_key;                 /* the key is wrong, not its value */
};

/* What a reader of files has told already, if it has told of anything. */
enum { READER_TELLS_MISSING = 1, READER_TELLS_WRONG = 2 };

struct mistake {
    struct site at;
    unsigned reader;
    char *what, *help; /* help may be NULL */
};

/* Zero-initialise; mistakes_free when done. */
struct mistakes {
    struct mistake *items;
    size_t n, cap;
    bool no_memory; /* some are lost */
};

/* Says the same of the same place once: returns what it has added, until the next one is, or NULL.
 * At most 200 are kept. */
struct mistake *mistake_add(struct mistakes *m, const struct site *at, const char *help,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* A text that is always needed is empty. */
void mistake_empty(struct mistakes *m, const struct site *at, const char *key);
bool mistakes_full(const struct mistakes *m); /* further ones are not kept */
void mistakes_free(struct mistakes *m);

/* Takes yaml_override's "PATH=VALUE: what; did you mean …" apart, in place. *help may be NULL. */
const char *refusal_what(char *msg, const char *path, const char *value, const char **help);

struct site site_of(enum site_list list, uint32_t index, const char *key);
/* The same place, one key further down (at an item: the item), or at an item. */
struct site site_key(struct site at, const char *key);
struct site site_item(struct site at, size_t item);

#endif
