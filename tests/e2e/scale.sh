#!/bin/sh
# More workers and fewer while the work goes on: who leaves finishes first, no try is lost, and the
# results are those of one worker.
. "$(dirname "$0")/common.inc"
home=$work/home
long="--set base.steps=8000 --set base.checkpoint_every=100"

workers() { "$jielong" workers --home "$home" | awk 'NR > 1 && $2 != "lost" && $2 != "gone" { print $1 }' | sort | tr '\n' ' '; }
are() { [ "$(workers)" = "$1" ]; }
scale() { "$jielong" scale "$@" --home "$home"; }

"$jielong" run "$tiny" $long --home "$work/one" >/dev/null 2>&1 || die "the undisturbed run"
outputs "$work/one" >"$work/want"

scale 2 2>"$work/err" && die "nobody looks after workers"
grep -q 'nobody looks after workers' "$work/err" || die "scale without a supervisor: $(cat "$work/err")"
[ ! -e "$home" ] || die "scale made a home"
"$jielong" orchestrator --workers 1 --home "$home" 2>"$work/log" &
supervisor=$!
wait_for 30 are 'w1 '
for bad in many 2.5 -1 257 ''; do
    set +e
    scale -- "$bad" 2>"$work/err"
    code=$?
    set -e
    [ $code = 2 ] || die "scale '$bad': exit $code"
done
say "usage"

scale 0 2>&1 | grep -q 'w1 finishes what it has, and leaves' || die "scale 0"
wait_for 60 are ''
wait_for 30 no_process "jielong-worker worker .*$home"
"$jielong" submit "$tiny" $long --home "$home" >/dev/null || die "submit"
wait_for 30 sh -c "'$jielong' explain vocabulary --home '$home' | grep -q 'no worker is connected'"
scale 1 2>&1 | grep -q 'w1 starts' || die "scale 1"
wait_for 60 at_step "$home" base 100
scale 3 2>"$work/err" || die "scale 3"
grep -q '^w2 to w3 start$' "$work/err" || die "it does not say who starts: $(cat "$work/err")"
wait_for 30 are 'w1 w2 w3 '
scale 3 2>&1 | grep -q 'there are 3 workers already' || die "the same number again"
"$jielong" drain w1 --home "$home" 2>/dev/null || die "drain"
wait_for 60 sh -c "grep -c 'worker w1 on .* joins' '$work/log' | grep -q '^[3-9]'"
say "up to three; one that is drained by hand is started again"

scale 1 --output json | grep -q '"workers": 1, "before": 3}' || die "scale 1"
wait_for 60 are 'w1 '
scale 2 2>/dev/null || die "scale 2"
wait_for 30 are 'w1 w2 '
"$jielong" logs tiny-1 --home "$home" | grep -q 'failed: ' && die "an attempt failed"
pkill -KILL -f "jielong-worker worker .*$home.* --name w2 " || die "there is no w2"
wait_for 60 sh -c "'$jielong' workers --home '$home' | grep -q '^w2 *\(idle\|busy\)'"
wait_for 120 job_is "$home" report done
outputs "$home" | cmp - "$work/want" || die "other outputs"
kill $supervisor
wait $supervisor || die "the supervisor ended with $?"
no_process "jielong.*$home" || die "a process is left"
say "down to one while it works: the same outputs, no attempt failed"

home=$work/run
"$jielong" run "$tiny" --set base.steps=200000000 --detach --home "$home" >/dev/null || die "run --detach"
wait_for 60 at_step "$home" base 1
scale 2 2>/dev/null || die "scale beside a run"
wait_for 30 are 'w1 w2 '
"$jielong" cancel tiny-1 --home "$home" 2>/dev/null || die "cancel"
wait_for 30 no_process "jielong.*$home"
scale 2 2>"$work/err" && die "the run is over"
grep -q 'nobody looks after workers' "$work/err" || die "scale after a run: $(cat "$work/err")"
say "beside a run, as long as it lasts"
