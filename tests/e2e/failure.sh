#!/bin/sh
# A broken data file fails its job at its place, cancels what depends on it, and when it is mended
# the run goes on from what was done. Cancel ends the computing.
. "$(dirname "$0")/common.inc"
home=$work/home
cp -r "$here/tiny" "$work/tiny"
chmod -R u+w "$work/tiny"
printf '{"instruction": "a", "output": "b"}\n{"instruction": "c", "outp\n{"instruction": 7, "output": "d"}' >"$work/tiny/demonstrations.jsonl"

set +e
"$jielong" run "$work/tiny/tiny.yaml" --home "$home" >"$work/log" 2>&1
[ $? = 1 ] || die "a failed run should end with 1: $(cat "$work/log")"
set -e
grep -q 'demonstrations.jsonl:2' "$work/log" || die "the place is not told: $(cat "$work/log")"
for line in 2 3; do # each on a line of its own, below the reason
    grep -q "^    demonstrations.jsonl:$line:" "$work/log" || die "line $line is not told: $(cat "$work/log")"
done
job_is "$home" base done || die "base should be done"
job_is "$home" sft failed || die "sft should have failed"
job_is "$home" chat cancelled || die "chat should be cancelled"
"$jielong" logs --home "$home" | grep -q 'demonstrations.jsonl:2' || die "logs do not show it"
say "the mistake is told with its place"

cp "$here/tiny/demonstrations.jsonl" "$work/tiny/"
"$jielong" run "$work/tiny/tiny.yaml" --home "$home" >"$work/log" 2>&1 || die "the mended run"
[ "$(job_field "$home" base cached)" = true ] || die "base ran again"
say "the mended run went on from there"

home=$work/standing
"$jielong" orchestrator --home "$home" >"$work/orchestrator" 2>&1 &
wait_for 30 test -e "$home/orchestrator.lock"
"$jielong" worker --home "$home" >"$work/worker" 2>&1 &
wait_for 30 "$jielong" submit "$tiny" --home "$home" --set base.steps=200000 --set base.checkpoint_every=200000
status=0
"$jielong" status --home "$home" >/dev/null || status=$?
[ $status = 3 ] || die "a running run's status should end with 3, not $status"
wait_for 180 at_step "$home" base 100
pgrep -f "executor --home $home" >/dev/null || die "nothing computes"
"$jielong" cancel tiny-1 --home "$home" || die "cancel"
wait_for 30 no_process "executor --home $home"
wait_for 30 job_is "$home" base cancelled
status=0
"$jielong" status --home "$home" >/dev/null || status=$?
[ $status = 1 ] || die "a cancelled run's status should end with 1, not $status"
say "cancel ended the executor"
