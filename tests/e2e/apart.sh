#!/bin/sh
# The whole quick start on two hosts that share nothing: network namespaces, a worker with a store
# of its own in each, keys, cables of 20 ± 5 ms each way, and the cable of the host that trains cut
# for a minute. The ids are those of a run on one host. Skipped where namespaces and TUN devices
# cannot be made. Operands are options of `jielong run`.
. "$(dirname "$0")/common.inc"
pipeline=$here/../../pipelines/quickstart/quickstart.yaml
cut=60 # seconds

said() { grep -q "$1" "$2"; }

[ "$(id -u)" = 0 ] && command -v ip >/dev/null || { say "skipped: needs root and ip"; exit 77; }
[ -c /dev/net/tun ] || { say "skipped: no TUN devices here"; exit 77; }
hub=jielong-$$-hub
ip netns add "$hub" 2>/dev/null || { say "skipped: no network namespaces here"; exit 77; }
trap 'pkill -KILL -f "$work" 2>/dev/null || true; kill $cables 2>/dev/null || true; for n in hub a b; do ip netns del "jielong-$$-$n" 2>/dev/null || true; done; rm -rf "$work"' EXIT
cables= net=0
ip -n "$hub" link set lo up
for host in a b; do # a cable from the hub to each: 10.78.1.0/24, 10.78.2.0/24
    space=jielong-$$-$host net=$((net + 1))
    ip netns add "$space"
    "$build/tests/cable" "$hub" "to-$host" "$space" eth >"$work/cable-$host" &
    cables="$cables $!"
    wait_for 10 said ready "$work/cable-$host"
    ip -n "$hub" addr add "10.78.$net.1/24" dev "to-$host"
    ip -n "$space" addr add "10.78.$net.2/24" dev eth
    ip -n "$hub" link set "to-$host" up
    ip -n "$space" link set eth up
done

is_done() { "$jielong" status "$1" --home "$2" >/dev/null; }
works_on() { "$jielong" workers --home "$home" | grep -w "$1" | grep -q "/$2"; }

"$jielong" run "$pipeline" "$@" --home "$work/alone" >"$work/log" 2>&1 || die "the run on one host: $(tail -5 "$work/log")"
outputs "$work/alone" >"$work/want"
[ -s "$work/want" ] || die "the run on one host gave nothing"

home=$work/one
mkdir "$home"
ip netns exec "$hub" "$jielong" keys new far "$work/far.key" --home "$home" >/dev/null
ip netns exec "$hub" "$jielong" orchestrator --home "$home" --listen tcp://0.0.0.0:7450 2>"$work/orchestrator.log" &
wait_for 30 said 'listening on .* for those with keys' "$work/orchestrator.log"
net=1
for host in a b; do
    ip netns exec "jielong-$$-$host" "$jielong" worker --home "$work/$host" --name "$host" \
        --connect "tcp://10.78.$net.1:7450" --key "$work/far.key" 2>"$work/$host.log" &
    net=$((net + 1))
done
run=$("$jielong" submit "$pipeline" "$@" --home "$home") || die "submit"

wait_for 240 at_step "$home" base 100
if works_on a base; then host=a; else host=b; fi
ip -n "jielong-$$-$host" link set eth down
began=$(date +%s)
wait_for 60 said 'no word from the orchestrator' "$work/$host.log"
over() { [ $(($(date +%s) - began)) -ge $cut ]; }
wait_for $((cut + 10)) over
ip -n "jielong-$$-$host" link set eth up
wait_for 900 is_done "$run" "$home"
outputs "$home" | cmp - "$work/want" || die "two hosts gave other ids than one"
[ "$(grep -c 'connected to' "$work/$host.log")" -gt 1 ] || die "host $host did not come back"
say "$(wc -l <"$work/want") outputs, host $host cut off for $cut s: the ids of one host"
