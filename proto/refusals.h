#ifndef PROTO_REFUSALS_H
#define PROTO_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who is turned away at a socket, as lines for a log that stays small: one alone is named, of a
 * flood one line has the number. A line comes a second after the first refusal of its cause; while
 * refusals go on it covers twice the time of the one before, at most a minute. */
enum refusal {
    REFUSED_KEY,
    REFUSED_WITHOUT_KEY,
    REFUSED_OTHER_KEY,
    REFUSED_PROTOCOL,
    REFUSED_FRAME,
    REFUSED_SILENT,
    REFUSALS,
};

#define REFUSAL_WHO 96
#define REFUSAL_LINE 320

/* All zero: nobody was refused. */
struct refusals {
    struct refused {
        uint64_t n; /* since `since`; 0: nothing is to be told */
        int64_t since, due, told, window;
        char last[REFUSAL_WHO];
    } of[REFUSALS];
};

void refusals_add(struct refusals *r, enum refusal why, const char *who, int64_t now_ms);
/* The next line that is due at now_ms; false: none. INT64_MAX: what there is. */
bool refusals_line(struct refusals *r, int64_t now_ms, char line[REFUSAL_LINE]);
/* ms until a line is due, at least 0; -1: nothing is to be told. */
int64_t refusals_wait_ms(const struct refusals *r, int64_t now_ms);

#endif
