#!/bin/sh
# What one home has made goes to another as a file: the same ids, the same bytes, nothing computed
# again; a file that is cut, changed or something else is refused, and nothing of it is seen.
. "$(dirname "$0")/common.inc"
from=$work/from
to=$work/to

artifacts() { "$jielong" artifacts "$@"; }
id_of() { artifacts --home "$from" | awk -v name="$1" '$1 == name { print $NF }'; }

"$jielong" run "$tiny" --home "$from" >/dev/null 2>"$work/err" || die "run: $(cat "$work/err")"
outputs "$from" >"$work/want"
artifacts export tiny-1 "$work/run.parcel" --home "$from" >"$work/said" || die "export of a run"
grep -q 'jobs need not be run' "$work/said" || die "export does not say what goes along: $(cat "$work/said")"
artifacts export tiny-1 "$work/run.parcel" --home "$from" 2>/dev/null && die "a file was written over"
artifacts export tiny-1 - --home "$from" | cmp - "$work/run.parcel" || die "standard output has other bytes"
say "exported, $(wc -c <"$work/run.parcel") bytes"

# refused NAME FILE WORDS…: the file is refused with these words, and a home stays as empty as it was
refused() {
    name=$1 file=$2 && shift 2
    set +e
    artifacts import "$file" --home "$to" >"$work/out" 2>"$work/err"
    code=$?
    set -e
    [ $code = 65 ] || die "$name: exit $code, not 65: $(cat "$work/out" "$work/err")"
    for words in "$@"; do grep -q "$words" "$work/err" || die "$name: nothing of '$words': $(cat "$work/err")"; done
    [ ! -s "$work/out" ] || die "$name: $(cat "$work/out")"
    "$jielong" store size --home "$to" | awk '$2 ~ /^[0-9]+$/ && $1 != "on" { exit 1 }' || die "$name: an artifact is seen"
}
# changed OUT AT: the run's parcel with another byte there
changed() {
    cp "$work/run.parcel" "$1"
    was=$(od -An -tu1 -j "$2" -N 1 "$work/run.parcel" | tr -d ' ')
    printf "\\$(printf %o $(((was + 1) % 256)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
size=$(wc -c <"$work/run.parcel")
head -c $((size - 1)) "$work/run.parcel" >"$work/cut"
refused "cut by a byte" "$work/cut" cut "at byte $((size - 1)): the file ends too early"
head -c $((size / 2)) "$work/run.parcel" >"$work/cut"
refused "cut in the middle" "$work/cut" "at byte $((size / 2)): the file ends too early"
head -c 5 "$work/run.parcel" >"$work/cut"
refused "cut at once" "$work/cut" 'at byte 5: the file ends too early'
: >"$work/cut"
refused "empty" "$work/cut" 'was not written by .jielong artifacts export'
for place in 19 100 $((size / 3)) $((size - 1)); do
    changed "$work/flipped" "$place"
    refused "changed at $place" "$work/flipped" 'at byte [0-9]*: '
done
grep -q 'artifact [0-9a-f]*: chunk [0-9]* of [0-9]*: at byte' "$work/err" || die "not said where: $(cat "$work/err")"
(cat "$work/run.parcel" && echo more) >"$work/longer"
refused "longer" "$work/longer" 'more bytes follow its end'
refused "a pipeline" "$tiny" 'was not written by .jielong artifacts export'
artifacts import "$work/nowhere" --home "$work/none" 2>/dev/null && die "a file that is not there"
[ ! -e "$work/none" ] || die "a home was made for nothing"
say "eleven bad files, all refused"

artifacts import "$work/run.parcel" --home "$to" >"$work/said2" || die "import"
cmp "$work/said" "$work/said2" || die "import tells of other artifacts"
artifacts import - --home "$to" <"$work/run.parcel" | cmp - "$work/said" || die "import a second time"
artifacts --home "$to" >"$work/listed" || die "list without a run"
grep -q "^tiny-1/chat.checkpoint  *checkpoint .* $(id_of chat.checkpoint)\$" "$work/listed" || die "not said whence: $(cat "$work/listed")"
artifacts --home "$to" --output json | grep -q "{\"imported\": \"tiny-1/answers.answers\", \"kind\": \"answers\", .*\"id\": \"$(id_of answers.answers)\"}" || die "list as JSON"
for output in chat.checkpoint vocabulary.tokenizer answers.answers report.report; do
    id=$(id_of $output)
    [ -n "$id" ] || die "there is no $output"
    artifacts get "$id" - --home "$to" >"$work/there" || die "get $output"
    artifacts get "$id" - --home "$from" | cmp - "$work/there" || die "$output has other bytes"
done
"$jielong" generate "$(id_of chat.checkpoint)" --prompt x --seed 1 --max-new-tokens 3 --home "$to" >"$work/there" || die "generate by id"
"$jielong" generate chat --prompt x --seed 1 --max-new-tokens 3 --home "$from" | cmp - "$work/there" || die "the model answers otherwise"
"$jielong" store verify --home "$to" >/dev/null || die "verify"
"$jielong" store gc --home "$to" >/dev/null || die "gc"
"$jielong" plan "$tiny" --home "$to" --set name=tiny >"$work/plan" 2>&1 || die "plan: $(cat "$work/plan")"
"$jielong" run "$tiny" --home "$to" >/dev/null 2>"$work/err" || die "run there: $(cat "$work/err")"
outputs "$to" | cmp - "$work/want" || die "the run there has other outputs"
artifacts --home "$to" | grep -q '^tiny-1/chat.checkpoint ' || die "what was imported has no name beside a run"
"$jielong" status --home "$to" --output json >"$work/status"
grep -q '"tasks_run": [1-9]' "$work/status" && die "something was computed again"
grep -q '"cached": false' "$work/status" && die "a job is not cached"
say "the same ids and bytes, and nothing is computed again"

# One artifact, into a home where an orchestrator is at work: it is held, though no job is known.
last=$work/last
"$jielong" orchestrator --home "$last" 2>"$work/log" &
orchestrator=$!
wait_for 30 "$jielong" workers --home "$last"
id=$(id_of answers.answers)
artifacts export "$(echo "$id" | cut -c 1-12)" "$work/one.parcel" --home "$from" >/dev/null || die "export by id"
artifacts export vocabulary "$work/vocabulary.parcel" --home "$from" | grep -q '^1 job need' || die "export of a job"
artifacts import "$work/one.parcel" --home "$last" >/dev/null || die "import beside an orchestrator"
artifacts import "$work/vocabulary.parcel" --home "$last" --output json | grep -q '"jobs": 1}' || die "import of a job"
kill $orchestrator
wait $orchestrator || die "the orchestrator ended with $?"
"$jielong" store gc --home "$last" >/dev/null || die "gc"
artifacts show "$id" --home "$last" | grep -q '^kind *answers' || die "gc took what was imported"
"$jielong" run "$tiny" --home "$last" >/dev/null 2>&1 || die "run in the last home"
outputs "$last" | cmp - "$work/want" || die "the run in the last home has other outputs"
[ "$(job_field "$last" vocabulary cached)" = true ] || die "the imported job is not known"
say "a single artifact, beside an orchestrator"
