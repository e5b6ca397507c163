#!/bin/sh
# Workers that share nothing with the orchestrator but a connection: the same bytes come out, with
# keys and without; who has no key, or had one, is refused, and both sides say so.
. "$(dirname "$0")/common.inc"
small="--set base.steps=60 --set chat.iterations=3"

listening() { grep -q 'listening on' "$1"; }
port_of() { sed -n 's/.*listening on tcp:\/\/[^:]*:\([0-9]*\),.*/\1/p' "$1"; }
said() { grep -q "$1" "$2"; }
is_done() { "$jielong" status "$1" --home "$2" >/dev/null; }

"$jielong" run "$tiny" $small --home "$work/alone" >/dev/null 2>&1 || die "the run on one host"
outputs "$work/alone" >"$work/want"

check() { # HOME LISTEN [KEY OPTIONS]
    home=$1 && listen=$2 && shift 2
    "$jielong" orchestrator --home "$home" --listen "$listen" 2>"$home.log" &
    wait_for 30 listening "$home.log"
    port=$(port_of "$home.log")
    for w in a b; do
        "$jielong" worker --home "$home-$w" --name "$w" --connect "tcp://127.0.0.1:$port" --cache 64 "$@" 2>"$home-$w.log" &
    done
    run=$("$jielong" submit "$tiny" $small --home "$home") || die "submit"
    wait_for 120 is_done "$run" "$home"
    outputs "$home" | cmp - "$work/want" || die "workers elsewhere gave other bytes ($listen)"
}

check "$work/open" "tcp://127.0.0.1:*"
say "without keys on this host: equal"
pkill -f "jielong.* --home $work/open" || true

mkdir "$work/guarded"
"$jielong" orchestrator --home "$work/guarded" --listen "tcp://0.0.0.0:*" 2>"$work/err" && die "it listened to everybody without keys"
grep -q 'will not listen on' "$work/err" || die "no word about keys: $(cat "$work/err")"
"$jielong" keys new ann "$work/ann.key" --home "$work/guarded" >/dev/null || die "keys new"
"$jielong" keys new bob "$work/bob.key" --home "$work/guarded" >/dev/null || die "keys new"
"$jielong" keys revoke bob --home "$work/guarded" || die "keys revoke"
[ "$("$jielong" keys list --home "$work/guarded" | wc -l)" = 1 ] || die "keys list"
[ "$(stat -c %a "$work/ann.key")" = 600 ] || die "a key that others may read"
check "$work/guarded" "tcp://0.0.0.0:*" --key "$work/ann.key"
say "with keys: equal"

"$jielong" worker --home "$work/x" --name bob --connect "tcp://127.0.0.1:$port" --key "$work/bob.key" 2>"$work/bob.log" &
bob=$!
wait_for 30 said 'refused .* with the key .*: not on the list' "$work/guarded.log"
"$jielong" worker --home "$work/y" --name eve --connect "tcp://127.0.0.1:$port" 2>"$work/eve.log" &
eve=$!
mkdir "$work/another"
"$jielong" keys new mal "$work/mal.key" --home "$work/another" >/dev/null || die "keys new"
"$jielong" worker --home "$work/z" --name mal --connect "tcp://127.0.0.1:$port" --key "$work/mal.key" 2>"$work/mal.log" &
mal=$!
# Who notices first that the keys do not fit leaves; when that is eve, the line says only that she left.
wait_for 30 said 'refused .*: \(of it and this port, one has a key and the other has none\|it left before\)' "$work/guarded.log"
wait_for 30 said "refused .*: it has another orchestrator's key" "$work/guarded.log"
for w in bob eve mal; do wait_for 30 said 'no answer from' "$work/$w.log"; done
"$jielong" workers --home "$work/guarded" | grep -qE 'bob|eve|mal' && die "a stranger was let in"
kill $bob $eve $mal
say "a revoked key, no key, a key for another orchestrator: refused, and both sides say so"
