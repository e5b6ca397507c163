#!/bin/sh
# Whatever waits can say why: for what comes before it, a worker, a worker that suits, one that is
# busy, leaving or silent, the end of a back-off, whoever paused it, people.
. "$(dirname "$0")/common.inc"
home=$work/home
endless="--set base.steps=200000000 --set base.checkpoint_every=200000000"

explain() { "$jielong" explain "$1" --home "$home"; }
says() { explain "$1" | grep -q "$2"; }
why() { wait_for 30 says "$@"; }
submit() { "$jielong" submit "$tiny" "$@" --home "$home" || die "submit $*"; }
cancel() { "$jielong" cancel "$1" --home "$home" 2>/dev/null || die "cancel $1"; }
worker() { "$jielong" worker --home "$home" "$@" 2>/dev/null & }

"$jielong" orchestrator --home "$home" 2>"$work/log" &
orchestrator=$!
wait_for 30 "$jielong" workers --home "$home"
first=$(submit $endless)
why "$first/base" 'no worker is connected'

worker --name alice
wait_for 60 at_step "$home" base 1
why "$first/base" '^base is .* running, .* on alice$'
explain "$first/report" >"$work/report"
grep -q '^report is . blocked, it needs$' "$work/report" || die "report: $(cat "$work/report")"
grep -q '^    base is .* running, ' "$work/report" || die "report does not lead down to base: $(cat "$work/report")"
"$jielong" explain "$first" --home "$home" >"$work/all"
grep -q '^answers is . blocked, it needs$' "$work/all" && grep -q '^  sft is . blocked, see above$' "$work/all" ||
    die "what is needed is not said once: $(cat "$work/all")"
say "blocked by what runs"

second=$(submit $endless --set base.learning_rate=0.002)
# It is given to alice ahead of time only if what came before was quick there.
why "$second/base" "running, .* on alice: alice does $first/base first\\|every worker that could take it is busy"
other=$(submit $endless --set base.learning_rate=0.004)
why "$other/base" 'every worker that could take it is busy'
"$jielong" drain alice --home "$home" 2>/dev/null || die "drain"
why "$other/base" 'every worker that could take it is draining'
cancel "$first"
cancel "$second"
why "$other/base" 'no worker is connected'
say "busy, draining, gone"

worker --name bob --label small
bob=$!
third=$(submit --set 'vocabulary.resources={labels: [big]}' --set vocabulary.vocab_size=300)
why "$third/vocabulary" 'no suitable worker: bob has no label big'
cancel "$third"
wait_for 60 says "$other/base" 'running, .* on bob$'
"$jielong" pause "$other/base" --home "$home" 2>/dev/null || die "pause"
why "$other/base" "paused: .jielong resume $other/base"
cancel "$other"
say "no suitable worker, paused"

fourth=$(submit $endless --set base.timeout=1 --set base.retries=20 --set base.learning_rate=0.003)
why "$fourth/base" 'backing off until 20[0-9-]*T[0-9:]*Z after a failed attempt: time-out'
cancel "$fourth"
say "backing off"

fifth=$(submit --set base.checkpoint_every=300 --set 'ranking.by=people')
why "$fifth/ranking" '^ranking is : waiting for people: 0 of [0-9]* rankings are in$'
why "$fifth/teacher" '^  ranking is : waiting for people: '
"$jielong" status "$fifth" --home "$home" >/dev/null && die "status of what waits"
code=0; "$jielong" status "$fifth" --home "$home" >/dev/null || code=$?
[ $code = 4 ] || die "status ends with $code, not 4, while people are waited for"
cancel "$fifth"
say "waiting for people"

kill -STOP $bob
sixth=$(submit --set vocabulary.vocab_size=310)
wait_for 40 says "$sixth/vocabulary" 'has fallen silent'
seventh=$(submit --set vocabulary.vocab_size=311)
wait_for 40 says "$seventh/vocabulary" 'every worker has fallen silent'
wait_for 40 says "$sixth/vocabulary" 'no worker is connected'
kill -KILL $bob
kill $orchestrator
wait $orchestrator || die "the orchestrator ended with $?"
say "silent, gone"
