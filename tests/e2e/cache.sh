#!/bin/sh
# Bytes of the cache of a worker elsewhere are flipped on its disk: whoever reads them notices, they
# are fetched again from the orchestrator, and the run goes on to the ids of a run on one host.
. "$(dirname "$0")/common.inc"
small="--set base.steps=40 --set chat.iterations=2"
other="$small --set chat.kl_coef=0.5"
phrase=$(sed -n 's/.*"prompt": *"\([^"]*\)".*/\1/p' "$here/tiny/prompts.jsonl" | head -1)
[ -n "$phrase" ] || die "no prompt in the prompts"

said() { grep -q "$1" "$2"; }
is_done() { "$jielong" status "$1" --home "$2" >/dev/null; }

"$jielong" run "$tiny" $other --home "$work/alone" >/dev/null 2>&1 || die "the run on one host"
outputs "$work/alone" >"$work/want"

"$jielong" orchestrator --home "$work/one" --listen 'tcp://127.0.0.1:*' 2>"$work/orchestrator.log" &
wait_for 30 said 'listening on' "$work/orchestrator.log"
port=$(sed -n 's/.*listening on tcp:\/\/[^:]*:\([0-9]*\),.*/\1/p' "$work/orchestrator.log")
"$jielong" worker --home "$work/two" --name far --connect "tcp://127.0.0.1:$port" 2>"$work/far.log" &
run=$("$jielong" submit "$tiny" $small --home "$work/one") || die "submit"
wait_for 120 is_done "$run" "$work/one"

grep -obUaF "$phrase" "$work/two/store/data.mdb" | cut -d: -f1 >"$work/places"
[ -s "$work/places" ] || die "'$phrase' is not in the worker's cache"
while read -r at; do
    printf '~' | dd of="$work/two/store/data.mdb" bs=1 seek="$at" conv=notrunc 2>/dev/null
done <"$work/places"

run=$("$jielong" submit "$tiny" $other --home "$work/one") || die "submit"
wait_for 120 is_done "$run" "$work/one"
said 'was damaged and is taken away: it is fetched or made again' "$work/far.log" ||
    "$jielong" logs "$run" --home "$work/one" | grep -q 'was damaged and is taken away' || die "nobody noticed"
outputs "$work/one" | cmp - "$work/want" || die "other ids than on one host"
"$jielong" store verify --home "$work/two" >/dev/null || die "the cache is still damaged"
"$jielong" store verify --home "$work/one" >/dev/null || die "the orchestrator's store is damaged"
say "a damaged cache: fetched again, the same ids"
