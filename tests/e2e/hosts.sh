#!/bin/sh
# Two hosts that share nothing but a cable: network namespaces, an orchestrator in one, a worker in
# the other, keys between them; the cable is cut for a while. Skipped where no namespaces can be made.
. "$(dirname "$0")/common.inc"
[ "$(id -u)" = 0 ] && command -v ip >/dev/null || { say "skipped: needs root and ip"; exit 77; }
one=jielong-$$-1 two=jielong-$$-2
ip netns add "$one" 2>/dev/null || { say "skipped: no network namespaces here"; exit 77; }
trap 'pkill -KILL -f "$work" 2>/dev/null || true; ip netns del "$one"; ip netns del "$two" 2>/dev/null; rm -rf "$work"' EXIT
ip netns add "$two"
ip link add "j1-$$" netns "$one" type veth peer name "j2-$$" netns "$two"
ip -n "$one" addr add 10.77.0.1/24 dev "j1-$$"
ip -n "$two" addr add 10.77.0.2/24 dev "j2-$$"
for n in "$one" "$two"; do ip -n "$n" link set lo up; done
ip -n "$one" link set "j1-$$" up
ip -n "$two" link set "j2-$$" up

small="--set base.steps=600 --set chat.iterations=6"
is_done() { "$jielong" status "$1" --home "$2" >/dev/null; }
said() { grep -q "$1" "$2"; }

"$jielong" run "$tiny" $small --home "$work/alone" >/dev/null 2>&1 || die "the run on one host"
outputs "$work/alone" >"$work/want"

home=$work/one
mkdir "$home"
"$jielong" keys new far "$work/far.key" --home "$home" >/dev/null
ip netns exec "$one" "$jielong" orchestrator --home "$home" --listen tcp://10.77.0.1:7450 2>"$work/orchestrator.log" &
wait_for 30 said 'listening on' "$work/orchestrator.log"
ip netns exec "$two" "$jielong" worker --home "$work/two" --name far --connect tcp://10.77.0.1:7450 --key "$work/far.key" 2>"$work/worker.log" &
run=$("$jielong" submit "$tiny" $small --home "$home") || die "submit"
wait_for 60 at_step "$home" base 100
ip -n "$two" link set "j2-$$" down
wait_for 60 said 'no word from the orchestrator' "$work/worker.log"
ip -n "$two" link set "j2-$$" up
wait_for 180 is_done "$run" "$home"
outputs "$home" | cmp - "$work/want" || die "two hosts gave other bytes than one"
say "two hosts, a cable that was cut for 10 s: equal"
