#!/bin/sh
# What the commands print and how they end.
. "$(dirname "$0")/common.inc"
home=$work/home

code() { want=$1 && shift; set +e; "$@" >"$work/out" 2>"$work/err"; got=$?; set -e
    [ $got = "$want" ] || { cat "$work/out" "$work/err" >&2; die "exit $got, not $want: $*"; }; }

code 2 "$jielong"
code 0 "$jielong" --help
code 2 "$jielong" statsu
grep -q "did you mean 'status'" "$work/err" || die "no did-you-mean for a command"
code 2 "$jielong" run "$tiny" --workers many
code 2 "$jielong" status --home "$home"
code 69 "$jielong" submit "$tiny" --home "$home"
mkdir -m 000 "$work/closed"
as_other() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else "$@"; fi; }
if as_other "$jielong" --help >/dev/null 2>&1; then
    code 74 as_other "$jielong" workers --home "$work/closed"
    grep -q 'closed.: Permission denied' "$work/err" || die "a home of others: $(cat "$work/err")"
fi
say "usage errors"

mkdir "$work/bad"
cat >"$work/bad/bad.yaml" <<'YAML'
name: bad
inputs: {corpus: nowhere.txt}
stages:
  vocabulary: {kind: tokeniser, text: corpus}
  base:
    kind: pretrain
    tokenizer: vocabulary
    text: corpsu
    model: {layers: 2}
    stepps: 600
    learning_rate: fast
YAML
code 65 "$jielong" validate "$work/bad/bad.yaml"
cat "$work/out" "$work/err" >"$work/both"
[ "$(grep -c 'bad.yaml:[0-9]*:[0-9]*' "$work/both")" -ge 5 ] || die "fewer than five located mistakes: $(cat "$work/both")"
for word in nowhere.txt tokeniser corpsu stepps fast; do
    grep -q "$word" "$work/both" || die "nothing is said of $word"
done
[ -e "$work/bad/.jielong" ] && die "validate made a home" || true
say "five mistakes, each at its place"

code 0 "$jielong" run "$tiny" --home "$home"
code 0 "$jielong" status --home "$home"
grep -q chat "$work/out" || die "status shows no jobs"
code 0 "$jielong" status --home "$home" --output json
for field in '"schema": 1' '"run": "tiny-1"' '"state": "done"' '"jobs"' '"attempts"' '"progress"' '"metrics"' '"outputs"' '"cached"'; do
    grep -q "$field" "$work/out" || die "the JSON has no $field"
done
[ -s "$home/runs/tiny-1/report.md" ] && [ -s "$home/runs/tiny-1/report.json" ] || die "no report"
grep -q '"stages"' "$home/runs/tiny-1/report.json" || die "report.json has no stages"
grep -q '</html>' "$home/runs/tiny-1/report.html" || die "no page"
code 0 "$jielong" report --home "$home"
for words in '^## The reward model' '^## Practice of chat' '^## Best of n' 'preferred to sft' 'its peak of'; do
    grep -q "$words" "$work/out" || die "the report does not say '$words'"
done
grep -q "runs/tiny-1/report.html" "$work/err" || die "report does not say where the page is"
code 0 "$jielong" report --home "$home" --html "$work/page.html" --json "$work/page.json"
[ "$(grep -c '^wrote ' "$work/out")" = 2 ] || die "it does not say what it wrote"
cmp "$work/page.html" "$home/runs/tiny-1/report.html" || die "another page"
echo else >"$work/page.html"
code 0 "$jielong" report --home "$home" --html "$work/page.html"
grep -q "^replaced .*page.html" "$work/out" || die "it does not say that it replaced a file"
code 0 "$jielong" report --home "$home" --html "$work/page.html"
grep -q "^unchanged .*page.html" "$work/out" || die "it does not say that nothing changed"
say "status and report"

ask="$jielong generate tiny-1/chat --home $home --prompt 天空是什么颜色? --max-new-tokens 6"
code 0 $ask --seed 3
cp "$work/out" "$work/one"
code 0 $ask --seed 3
cmp "$work/out" "$work/one" || die "the same seed gave another answer"
code 0 $ask --show-probabilities=3
awk '/^pos/ { if (n && (sum < 99.9 || sum > 100.1)) bad = 1; sum = 0; n++ }
     /^ +\*? *[0-9]+ .*%/ || /^ *rest/ { for (i = 1; i <= NF; i++) if ($i ~ /%$/) { sum += $i; break } }
     END { exit !(n > 0 && !bad) }' "$work/out" || { cat "$work/out" >&2; die "probabilities do not sum to 100 %"; }
code 2 "$jielong" generate tiny-1/caht --home "$home" --prompt x
say "generate"

deep=$work/$(printf '%0150d' 0)
mkdir "$deep"
code 0 "$jielong" run "$tiny" --home "$deep/带 空格"
say "a long home with spaces and Chinese"
