#include "proto/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_ms(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t clock_unix_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

void clock_iso(char out[CLOCK_TEXT], int64_t unix_ms)
{
    int64_t ms = unix_ms % 1000;
    time_t seconds;
    struct tm t;

    if (ms < 0)
        ms += 1000;
    seconds = (time_t)((unix_ms - ms) / 1000);
    if (!gmtime_r(&seconds, &t) || t.tm_year > 9999 - 1900 || t.tm_year < -1900) {
        snprintf(out, CLOCK_TEXT, "0000-00-00T00:00:00.000Z");
        return;
    }
    size_t n = strftime(out, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out + n, CLOCK_TEXT - n, ".%03dZ", (int)ms);
}
