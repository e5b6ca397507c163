#!/bin/sh
# What has been computed is not computed again; a changed option re-runs only what depends on it.
. "$(dirname "$0")/common.inc"
home=$work/home

tasks_run() { "$jielong" status --home "$home" --output json | awk '$1 == "\"tasks_run\":" { n += $2 } END { print n + 0 }'; }

"$jielong" run "$tiny" --home "$home" >/dev/null 2>&1 || die "the first run"
outputs "$home" >"$work/first"
"$jielong" status --home "$home" --output json | grep -qE '"attempts": ([2-9]|1[0-9])' && die "attempts failed"
[ "$(tasks_run)" -gt 20 ] || die "the first run did not run its tasks"
"$jielong" run "$tiny" --home "$home" >/dev/null 2>&1 || die "the second run"
[ "$(tasks_run)" = 0 ] || die "the second run ran $(tasks_run) tasks"
outputs "$home" | cmp - "$work/first" || die "the second run has other outputs"
for job in vocabulary base sft answers ranking teacher chat direct left_out grouped report; do
    [ "$(job_field "$home" "$job" cached)" = true ] || die "$job is not cached"
done
say "the second run ran no task"

"$jielong" run "$tiny" --home "$home" --set chat.kl_coef=0.5 >/dev/null 2>&1 || die "the changed run"
for job in vocabulary base sft answers ranking teacher direct left_out grouped; do
    [ "$(job_field "$home" "$job" cached)" = true ] || die "$job ran again"
done
[ "$(job_field "$home" chat cached)" = false ] || die "chat did not run"
[ "$(job_field "$home" report cached)" = false ] || die "report did not run"
say "another kl_coef re-ran chat and report alone"

"$jielong" plan "$tiny" --home "$home" >"$work/plan" 2>&1 || die "plan"
[ "$(grep -c cached "$work/plan")" -ge 8 ] || die "plan does not know what is cached: $(cat "$work/plan")"
say "plan says so"
