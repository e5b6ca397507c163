#!/bin/sh
# Whatever is killed, however often, and however many workers there are: the same bytes come out.
. "$(dirname "$0")/common.inc"
long="--set base.steps=3000 --set base.checkpoint_every=250 --set chat.iterations=120"

"$jielong" run "$tiny" $long --home "$work/calm" --workers 1 >/dev/null 2>&1 || die "the undisturbed run"
outputs "$work/calm" >"$work/want"
[ "$(wc -l <"$work/want")" -ge 10 ] || die "the undisturbed run has too few outputs"

"$jielong" run "$tiny" $long --home "$work/three" --workers 3 >/dev/null 2>&1 || die "the run with three workers"
outputs "$work/three" | cmp - "$work/want" || die "three workers gave other bytes than one"
say "three workers: equal"

home=$work/killed
"$jielong" run "$tiny" $long --home "$home" --workers 2 >"$work/log" 2>&1 &
run=$!
wait_for 180 at_step "$home" base 300
pkill -KILL -f "executor --home $home" || die "no executor to kill"
wait_for 180 at_step "$home" base 600
pkill -KILL -f "jielong-worker worker .*$home" || die "no worker to kill"
wait_for 180 at_step "$home" base 900
pkill -KILL -f "jielong orchestrator .*$home" || die "no orchestrator to kill"
wait_for 180 at_step "$home" base 1300
kill -KILL $run
wait $run 2>/dev/null || true
wait_for 30 no_process "jielong.*$home"
say "executor, worker, orchestrator and the command itself were killed; going on"
"$jielong" run "$tiny" $long --home "$home" --workers 2 >>"$work/log" 2>&1 &
run=$!
wait_for 180 at_step "$home" chat 4
pkill -KILL -f "jielong-worker worker .*$home" || die "no worker to kill while practising"
wait $run || { cat "$work/log" >&2; die "the run that went on ended with $?"; }
outputs "$home" | cmp - "$work/want" || die "the killed run gave other bytes"
"$jielong" status --home "$home" --output json | grep -q '"run": "tiny-1"' || die "the second call began a new run"
say "killed: equal"
