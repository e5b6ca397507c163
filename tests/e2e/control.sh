#!/bin/sh
# A standing orchestrator is asked to pause, to explain, to go on, to let a worker leave.
. "$(dirname "$0")/common.inc"
home=$work/home
long="--set base.steps=4000 --set base.checkpoint_every=100"

why() { "$jielong" explain "$1" --home "$home"; }
says() { why "$1" | grep -q "$2"; }
worker_is() { "$jielong" workers --home "$home" | grep -q "^$1  *$2"; }

"$jielong" orchestrator --home "$home" --log-format json 2>"$work/log" &
orchestrator=$!
wait_for 30 "$jielong" workers --home "$home"
run=$("$jielong" submit "$tiny" $long --home "$home") || die "submit"
wait_for 30 says base 'no worker is connected'
"$jielong" worker --name alice --home "$home" 2>/dev/null &
alice=$!
wait_for 60 at_step "$home" base 100
says report 'blocked' || die "the report is not blocked"
why report | grep -q '^  *base is .*running' || die "explain does not go down to base: $(why report)"

"$jielong" pause "$run/base" --home "$home" 2>/dev/null || die "pause"
wait_for 30 says base "paused: .jielong resume $run/base"
wait_for 60 worker_is alice idle
"$jielong" resume "$run/base" --home "$home" 2>/dev/null || die "resume"
wait_for 30 worker_is alice busy

"$jielong" drain alice --home "$home" 2>/dev/null || die "drain"
wait_for 60 no_process "jielong-worker worker .*$home"
wait $alice || die "a drained worker ended with $?"
wait_for 30 says base 'no worker is connected'
"$jielong" drain nobody --home "$home" 2>"$work/err" && die "nobody was drained"
grep -q 'there is no such worker' "$work/err" || die "drain: $(cat "$work/err")"

"$jielong" worker --name bob --label small --home "$home" 2>/dev/null &
bob=$!
asks=$("$jielong" submit "$tiny" --set 'vocabulary.resources={labels: [big]}' --set vocabulary.vocab_size=300 --home "$home") || die "submit"
wait_for 30 says "$asks/vocabulary" 'no suitable worker: bob has no label big'
"$jielong" worker --name carol --label big --label gpu --home "$home" 2>/dev/null &
carol=$!
wait_for 30 job_is "$home" vocabulary done
"$jielong" workers --home "$home" | grep -q '^carol .*  big  gpu  ' || die "carol's labels are not shown"
"$jielong" cancel "$asks" --home "$home" 2>/dev/null || true
kill $bob $carol

"$jielong" retry "$run" --home "$home" 2>"$work/err" && die "a run that is not over was retried"
"$jielong" cancel "$run" --home "$home" 2>/dev/null || die "cancel"
again=$("$jielong" retry "$run" --home "$home") || die "retry"
[ "$again" != "$run" ] || die "retry gave the same run"
"$jielong" cancel "$again" --home "$home" 2>/dev/null
kill $orchestrator
wait $orchestrator || die "the orchestrator ended with $?"
grep -v '^{"time":"[^"]*Z","level":"[a-z]*","program":"orchestrator",.*"event":".*"}$' "$work/log" && die "a line of the log is no object"
grep -q "\"run\":\"$run\",\"job\":\"vocabulary\",\"event\":\"job $run/vocabulary: done" "$work/log" || die "the log does not name run and job: $(cat "$work/log")"
grep -q '"worker":"carol","event":"worker carol on .* joins' "$work/log" || die "the log does not say who came: $(cat "$work/log")"
say "paused, explained, resumed, drained, tried again"
