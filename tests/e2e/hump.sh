#!/bin/sh
# Over-optimisation is shown: against a reward model that knows half of the truth, practice without
# a KL penalty raises its score to the end, while the rubric's rises and then falls.
. "$(dirname "$0")/common.inc"
home=$work/home

# number FILE NAME: the last number of that name
number() { awk -v name="\"$2\":" '$1 == name { gsub(/,/, "", $2); x = $2 } END { print x }' "$1"; }

run() {
    "$jielong" run "$here/hump/hump.yaml" --home "$home" "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "run $*"; }
    "$jielong" report --home "$home" --json "$work/report.json" --md "$work/report.md" >/dev/null
    grep -m1 'iterations: the reward' "$work/report.md"
}

run
first=$(number "$work/report.json" first_gold) peak=$(number "$work/report.json" peak_gold) last=$(number "$work/report.json" last_gold)
awk -v f="$first" -v p="$peak" -v l="$last" 'BEGIN { exit !(p > f + .5 && l < p - .5) }' ||
    die "gold went $first, $peak, $last: no hump"
awk '/"curves"/ { on = 1 } on && $1 == "\"score\":" { gsub(/,/, "", $2); s[n++] = $2 }
     END { for (i = 0; i < 10; i++) { a += s[i]; b += s[n - 1 - i] } exit !(b > a + 20) }' \
    "$work/report.json" || die "the proxy did not rise"
grep -q 'over-optimisation' "$work/report.md" || die "the report does not say so"
say "gold $first, peak $peak, last $last"

run --set chat.kl_coef=0.1
held=$(number "$work/report.json" last_gold)
awk -v l="$last" -v h="$held" 'BEGIN { exit !(h > l + .5) }' || die "with a KL penalty gold ended at $held"
say "with a KL penalty gold ends at $held"
