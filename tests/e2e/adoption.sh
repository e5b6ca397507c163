#!/bin/sh
# The orchestrator is killed in the middle of a long segment and comes back: the segment goes on
# meanwhile and is adopted, not begun anew.
#
#   STEPS=500000 GAP=30 JIELONG_BUILD=build tests/e2e/adoption.sh   # that many steps, so many seconds without
. "$(dirname "$0")/common.inc"
home=$work/home
steps=${STEPS:-40000}
segment="--set base.steps=$steps --set base.checkpoint_every=$steps --set base.model.layers=1"

executor() { pgrep -f "executor --home $home" | sort; }
orchestrate() {
    "$jielong" orchestrator --home "$home" 2>>"$work/log" &
    orchestrator=$!
    wait_for 30 "$jielong" workers --home "$home"
}

orchestrate
run=$("$jielong" submit "$tiny" $segment --home "$home") || die "submit"
"$jielong" worker --name alice --home "$home" 2>"$work/alice" &
"$jielong" worker --name bob --home "$home" 2>"$work/bob" &
wait_for 120 at_step "$home" base $((steps / 50))
busy=$("$jielong" workers --home "$home" | sed -n 's/^\([a-z]*\)  *busy.*/\1/p')
ran=$(executor)
kill -KILL $orchestrator
wait $orchestrator 2>/dev/null || true
wait_for 30 grep -q 'there is no orchestrator' "$work/$busy"
[ -z "${GAP:-}" ] || sleep "$GAP"
[ "$(executor)" = "$ran" ] || die "executors came or went while there was no orchestrator"
orchestrate
wait_for 30 sh -c "'$jielong' workers --home '$home' | grep -q '^$busy  *busy'"
at_step "$home" base "$steps" && die "the segment was over before the orchestrator was back: give it more STEPS"
say "adopted: $("$jielong" status --home "$home" | grep '^base')"
wait_for $((steps / 10)) job_is "$home" base done
[ "$(executor)" = "$ran" ] || die "another executor than the one that began has ended it"
[ "$(job_field "$home" base attempts)" = 1 ] || die "the segment was begun anew: attempt $(job_field "$home" base attempts)"
wait_for 120 job_is "$home" report done
outputs "$home" >"$work/got"
kill $orchestrator
"$jielong" run "$tiny" $segment --home "$work/calm" >/dev/null 2>&1 || die "the undisturbed run"
outputs "$work/calm" | cmp - "$work/got" || die "other bytes than the undisturbed run's"
say "one attempt, and the bytes of an undisturbed run"
