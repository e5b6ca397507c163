#!/bin/sh
# Every task is run twice, on two workers: where both are honest nothing changes; where the program
# of one differs in a single byte, the run fails and says who said what.
. "$(dirname "$0")/common.inc"
home=$work/home
pipeline=$work/small.yaml
cp "$here/tiny/corpus.txt" "$work"
cat >"$pipeline" <<EOF
name: small
inputs: {corpus: {path: corpus.txt, split: paragraph, keep_duplicates: true}}
stages:
  vocabulary: {kind: tokenizer, text: corpus, vocab_size: 320, template: chatml}
  base: {kind: pretrain, tokenizer: vocabulary, text: corpus, steps: 60, checkpoint_every: 20,
    batch_size: 4, model: {layers: 1, width: 32, heads: 2, context: 48}}
EOF
# start_worker NAME PROGRAM: and knows its process
start_worker() {
    "$2" worker --name "$1" --home "$home" 2>"$work/$1.log" &
    eval "$1=$!"
}
worker_is() { "$jielong" workers --home "$home" | grep -q "^$1  *$2"; }
over() { "$jielong" status --home "$home" >/dev/null; [ $? -lt 2 ]; }

"$jielong" run "$pipeline" --workers 2 --home "$work/plain" >/dev/null 2>&1 || die "the run without audits"
"$jielong" run "$pipeline" --workers 2 --set audit=1 --home "$work/audited" >/dev/null 2>"$work/err" ||
    die "the audited run: $(cat "$work/err")"
outputs "$work/plain" >"$work/want"
outputs "$work/audited" >"$work/got"
cmp "$work/want" "$work/got" || die "audits changed a result"
"$jielong" status --home "$work/audited" | grep -q '^audits  .*base [0-9]* agree' ||
    die "status does not show audits: $("$jielong" status --home "$work/audited")"
"$jielong" logs base --home "$work/audited" | grep -q 'audit: attempt 1 on w[12] gives the same result as attempt 1 on w[12]' ||
    die "the log does not tell of audits"
"$jielong" explain base --home "$work/audited" | grep -q 'audits: [0-9]* agree' || die "explain does not tell of audits"

# The same program, but for one letter of the template that goes into a tokenizer.
mkdir "$work/wrong"
cp "$jielong" "$work/wrong/jielong"
sed 's/<|im_start|>system/<|im_start|>systam/g' "$build/jielong-worker" >"$work/wrong/jielong-worker"
chmod +x "$work/wrong/jielong-worker"
cmp -s "$build/jielong-worker" "$work/wrong/jielong-worker" && die "the wrong program is the right one"

"$jielong" orchestrator --home "$home" 2>"$work/log" &
orchestrator=$!
wait_for 30 "$jielong" workers --home "$home"
start_worker right "$jielong"
start_worker wrong "$work/wrong/jielong"
wait_for 30 worker_is right idle
wait_for 30 worker_is wrong idle
run=$("$jielong" submit "$pipeline" --set audit=1 --home "$home") || die "submit"
wait_for 60 over
job_is "$home" vocabulary failed || die "nobody noticed: $("$jielong" status --home "$home")"
"$jielong" explain "$run/vocabulary" --home "$home" >"$work/why"
grep -q 'audit: two runs of task [0-9a-f]* give two results' "$work/why" || die "it does not say why: $(cat "$work/why")"
grep -q 'attempt 1 on right' "$work/why" && grep -q 'attempt 1 on wrong' "$work/why" || die "who? $(cat "$work/why")"
grep -q 'failed: audit: two runs' "$work/log" || die "the orchestrator's log does not tell: $(cat "$work/log")"

kill $wrong
wait $wrong 2>/dev/null || true
"$jielong" retry "$run" --home "$home" >/dev/null || die "retry"
wait_for 60 over
outputs "$home" >"$work/got"
cmp "$work/want" "$work/got" || die "after the wrong worker has left the result is not the right one"
kill $right $orchestrator
wait $orchestrator || die "the orchestrator ended with $?"
say "agreed, disagreed, named, computed again"
