#!/bin/sh
# Attempts that fail for good on real daemons: one that takes too long, one whose executor is killed
# as the kernel kills for memory. Each is tried again, elsewhere, as often as `retries` says; then
# the job fails with its cause and the last lines of its log.
. "$(dirname "$0")/common.inc"
endless="--set base.steps=200000000 --set base.checkpoint_every=200000000 --set base.retries=1"

told() { grep -q "$1" "$work/log" || die "it does not say '$1': $(cat "$work/log")"; }

"$jielong" run "$tiny" $endless --set base.timeout=1 --workers 2 --home "$work/slow" >"$work/log" 2>&1 &&
    die "a run that times out ended well"
told 'base failed, try 2 of 2'
told 'attempt 1 on w[12] failed: time-out: still not done after 1 s; the next in 1 s'
told 'attempt 2 on w[12] failed: time-out: still not done after 1 s; it is not tried again'
"$jielong" logs base --home "$work/slow" | sed -n 's/.*attempt [12] on \(w[12]\) failed.*/\1/p' | sort -u >"$work/who"
[ "$(wc -l <"$work/who")" = 2 ] || die "it was not tried elsewhere: $(cat "$work/who")"

home=$work/killed
killed_twice() {
    pkill -KILL -f "executor --home $home" || true
    "$jielong" logs base --home "$home" | grep -q 'attempt 2 on .* failed: out of memory'
}
"$jielong" run "$tiny" $endless --workers 2 --home "$home" >"$work/log" 2>&1 &
run=$!
wait_for 120 at_step "$home" base 1
wait_for 120 killed_twice
wait $run && die "a run whose executors are killed ended well"
told 'base failed, try 2 of 2'
told 'out of memory: the executor was killed by signal 9'
told 'base/w[12] .* encode done'
say "time-outs and kills for memory: tried again elsewhere, told, and given up with the log kept"
