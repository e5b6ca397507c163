#include "orchestrator/retry.h"

#include <assert.h>

static const struct retry_rule rules[] = {
    /*                  words                    fatal  counted backs_off elsewhere */
    [CAUSE__BAD_INPUT] = { "bad input", true, true, false, false },
    [CAUSE__OUT_OF_MEMORY] = { "out of memory", false, true, true, true },
    [CAUSE__CRASH] = { "crash", false, true, true, true },
    [CAUSE__IO] = { "i/o error", false, true, true, true },
    [CAUSE__TIMEOUT] = { "time-out", false, true, true, true },
    [CAUSE__INVARIANT] = { "an invariant was violated", true, true, false, false },
    [CAUSE__STOPPED] = { "stopped", false, false, false, true },
    [CAUSE__LOST] = { "worker lost", false, false, false, true },
    [CAUSE__TOO_LARGE] = { "too large for the memory", true, true, false, false },
};
_Static_assert(sizeof rules / sizeof *rules == CAUSE__TOO_LARGE + 1, "one row for each cause");

const struct retry_rule *retry_rule(Cause cause)
{
    assert(cause >= CAUSE__BAD_INPUT && cause <= CAUSE__TOO_LARGE);
    return &rules[cause];
}

bool retry_workers_cause(Cause cause)
{
    return cause >= CAUSE__BAD_INPUT && cause <= CAUSE__TOO_LARGE && cause != CAUSE__LOST;
}

int64_t retry_wait_ms(uint32_t failures)
{
    assert(failures > 0);
    return failures > 6 ? 60000 : 1000ll << (failures - 1);
}
