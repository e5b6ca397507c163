#!/bin/sh
# What a job has measured: as a table, with tabs, as JSON, from the state and from an orchestrator.
. "$(dirname "$0")/common.inc"
home=$work/home

metrics() { "$jielong" metrics "$@" --home "$home"; }

"$jielong" run "$tiny" --home "$home" >/dev/null 2>"$work/err" || die "run: $(cat "$work/err")"
metrics tiny-1/base >"$work/table" || die "metrics"
awk 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "loss") loss = i; next }
     { if ($1 <= last && NR > 2) bad = 1; last = $1 } $1 == 50 { early = $loss } $1 == 300 { late = $loss }
     END { exit !(loss && !bad && last == 300 && late + 0 < early + 0) }' "$work/table" ||
    die "no falling loss over ascending steps: $(cat "$work/table")"

metrics chat --tsv >"$work/tsv" || die "--tsv"
awk -F '\t' 'NR == 1 { n = NF; if ($1 != "step" || $2 != "time") bad = 1; next } NF != n { bad = 1 } END { exit !(NR > 6 && n > 10 && !bad) }' \
    "$work/tsv" || die "not a table of tabs: $(cat "$work/tsv")"
metrics chat --metric objective/kl --metric loss --tail 2 --tsv >"$work/two"
[ "$(wc -l <"$work/two")" = 3 ] && head -1 "$work/two" | grep -q "^step	time	objective/kl	loss$" ||
    die "two columns and two rows were asked for: $(cat "$work/two")"
metrics chat --output json >"$work/json"
for words in '"schema": 1' '"run": "tiny-1"' '"job": "chat"' '"step": 12' '"objective/kl": '; do
    grep -q "$words" "$work/json" || die "the JSON has no $words"
done
[ "$(grep -c '"step"' "$work/json")" = $(($(wc -l <"$work/tsv") - 1)) ] || die "JSON and table differ"
say "table, tabs, JSON"

metrics chat --metric objective/lk >/dev/null 2>"$work/err" && die "an unknown metric"
grep -q "did you mean 'objective/kl'" "$work/err" || die "no did-you-mean: $(cat "$work/err")"
metrics tiny-1/caht >/dev/null 2>"$work/err" && die "an unknown job"
grep -q "did you mean 'chat'" "$work/err" || die "no did-you-mean: $(cat "$work/err")"
metrics tiny-1 >/dev/null 2>"$work/err" && die "a run without a job"
grep -q 'which of its jobs' "$work/err" || die "a run without a job: $(cat "$work/err")"
metrics vocabulary >"$work/out" 2>"$work/err" || die "a job that measures nothing"
[ ! -s "$work/out" ] && grep -q 'has no metrics' "$work/err" || die "nothing is said of a job that measures nothing"
say "what there is not"

"$jielong" orchestrator --home "$home" --listen tcp://127.0.0.1:0 2>"$work/log" &
orchestrator=$!
wait_for 30 grep -q 'listening on tcp' "$work/log"
url=$(grep -o 'tcp://127.0.0.1:[0-9]*' "$work/log" | head -1)
"$jielong" metrics tiny-1/chat --connect "$url" --tsv --home "$work/nowhere" >"$work/asked" || die "--connect"
cmp "$work/asked" "$work/tsv" || die "the orchestrator tells other metrics than the state"
kill $orchestrator
wait $orchestrator || die "the orchestrator ended with $?"
say "the same from the orchestrator"
