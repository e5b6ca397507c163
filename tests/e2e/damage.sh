#!/bin/sh
# Bytes of the store are flipped on the disk: verify and whoever reads them say so, what was damaged
# is taken away and made again with the same ids, and nothing else is.
. "$(dirname "$0")/common.inc"
home=$work/home
small="--set base.steps=40 --set chat.iterations=2"

# flip TEXT: in every place of the store where it stands
flip() {
    grep -obUaF "$1" "$home/store/data.mdb" | cut -d: -f1 >"$work/places"
    [ -s "$work/places" ] || die "'$1' is not in the store"
    while read -r at; do
        printf '~' | dd of="$home/store/data.mdb" bs=1 seek="$at" conv=notrunc 2>/dev/null
    done <"$work/places"
}
code() { want=$1 && shift; set +e; "$@" >"$work/out" 2>"$work/err"; got=$?; set -e
    [ $got = "$want" ] || { cat "$work/out" "$work/err" >&2; die "exit $got, not $want: $*"; }; }
artifacts() { "$jielong" store size --home "$home" --output json | tr '{' '\n' | sed -n 's/.*"artifacts": \([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n }'; }
phrase=$(sed -n 's/.*"prompt": *"\([^"]*\)".*/\1/p' "$here/tiny/prompts.jsonl" | head -1)
[ -n "$phrase" ] || die "no prompt in the prompts"

"$jielong" run "$tiny" $small --home "$home" >/dev/null 2>&1 || die "the run"
outputs "$home" >"$work/want"
all=$(artifacts)

flip "$phrase"
code 74 "$jielong" store verify --home "$home"
grep -q '^bad: chunk .*another hash' "$work/err" || die "verify does not name the chunk"
grep -q '^bad: artifact .*its bytes are wrong' "$work/err" || die "verify does not name the artifact"
grep -q "jielong store heal --home $home" "$work/err" || die "verify does not say what to do"
code 0 "$jielong" store heal --home "$home"
gone=$(grep -c '^taken away: artifact' "$work/out")
[ "$gone" -gt 0 ] && [ "$(artifacts)" = $((all - gone)) ] || die "$all artifacts, $gone taken away, $(artifacts) left"
code 0 "$jielong" store verify --home "$home"
code 0 "$jielong" run "$tiny" $small --home "$home"
outputs "$home" | cmp - "$work/want" || die "what was made again is something else"
say "verify, heal, run: $gone of $all artifacts were damaged and are made again, to the same ids"

flip "$phrase"
code 1 "$jielong" run "$tiny" $small --set chat.kl_coef=0.5 --home "$home"
grep -q 'was damaged in the store and is gone: the same pipeline, run again' "$work/err" "$work/out" || die "the reader's job does not say it: $(cat "$work/out" "$work/err")"
code 0 "$jielong" store verify --home "$home"
code 0 "$jielong" run "$tiny" $small --set chat.kl_coef=0.5 --home "$home"
code 0 "$jielong" run "$tiny" $small --home "$home"
outputs "$home" | cmp - "$work/want" || die "what was made again is something else"
say "found by a reader, run again: the same ids"
