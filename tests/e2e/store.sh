#!/bin/sh
# The store holds what is wanted: links of chains are gone when a run is over, what is left is what
# its name says, and comes out as the same bytes however it is named.
. "$(dirname "$0")/common.inc"
home=$work/home
many="--set base.checkpoint_every=20 --set chat.iterations=12"

"$jielong" run "$tiny" $many --home "$home" >/dev/null 2>&1 || die "the run"
outputs "$home" >"$work/want"
"$jielong" store size --home "$home" >"$work/size"
grep -qE '^(training_state|experience) ' "$work/size" && { cat "$work/size" >&2; die "a chain has left its links"; }
"$jielong" store verify --home "$home" >/dev/null || die "verify"
"$jielong" store gc --dry-run --home "$home" --output json | grep -q '"artifacts": 0,' || die "there is something to collect"
"$jielong" store gc --home "$home" >/dev/null || die "gc"

id=$("$jielong" artifacts --home "$home" | awk '$1 == "chat.checkpoint" { print substr($NF, 1, 12) }')
"$jielong" artifacts get chat "$work/named" --home "$home" || die "get by name"
"$jielong" artifacts get "$id" - --home "$home" | cmp - "$work/named" || die "get by id gave other bytes"
"$jielong" artifacts get chat "$work/named" --home "$home" 2>/dev/null && die "a file was written over"
"$jielong" artifacts show "$id" --home "$home" | grep -q '^kind *checkpoint' || die "show"

"$jielong" run "$tiny" $many --home "$home" >/dev/null 2>&1 || die "the second run"
outputs "$home" | cmp - "$work/want" || die "after gc the run gave other outputs"
"$jielong" status --home "$home" --output json | grep -q '"tasks_run": [1-9]' && die "gc has taken a result away"
say "bounded, intact, the same bytes"
