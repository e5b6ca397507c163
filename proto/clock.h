#ifndef PROTO_CLOCK_H
#define PROTO_CLOCK_H

#include <stdint.h>

/* The only two places where time is read. Daemon loops read once for each turn and pass `now`. */
int64_t clock_ms(void);      /* monotonic: for deadlines and leases */
int64_t clock_unix_ms(void); /* wall time: for people only, never in an artifact */

/* ISO-8601 UTC with milliseconds, e.g. 2026-11-23T04:12:09.120Z. */
#define CLOCK_TEXT 32
void clock_iso(char out[CLOCK_TEXT], int64_t unix_ms);

#endif
