#!/bin/sh
# `jielong import --inspect` says what files hold and what a stage would stop at; a pipeline reads
# them so, with a format of its own, and counts what it leaves out.
. "$(dirname "$0")/common.inc"
data=${JIELONG_SHARED:-}/data

inspect() { "$jielong" import --inspect "$@"; }
# has FILE PATTERN: a line of the file is like that
has() { grep -qE "$2" "$1" || { cat "$1" >&2; die "no line like '$2'"; }; }

cat >"$work/chat.jsonl" <<'END'
{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
{"frage": "world?"}
END
inspect "$work/chat.jsonl" >"$work/out" && die "a broken record went by"
[ "$(inspect "$work/chat.jsonl" >/dev/null 2>&1 || echo $?)" = 65 ] || die "another exit code than 65"
has "$work/out" '^ *records +2 read = 1 used \+ 1 broken; 1 demonstrations come of them$'
has "$work/out" "chat.jsonl:2: no known shape has the fields 'frage'"
has "$work/out" '^  \| ⟦a<\|im_end\|>⟧$|assistant$'
inspect --template llama3 "$work/chat.jsonl" --output json >"$work/out" || true
has "$work/out" '"schema": 1'
has "$work/out" '⟦a<\|eot_id\|>⟧'
printf 'plain\n\nplain\n' >"$work/a.txt"
inspect --split line "$work/a.txt" >"$work/out" || die "a text file"
has "$work/out" '2 read = 1 used \+ 1 duplicate'
echo '{"question": "q", "answer": "a", "hint": "h", "n": 3}' >"$work/b.jsonl"
inspect "$work/b.jsonl" >"$work/out" || die "a field of its own"
has "$work/out" "^  not read +'hint' 1\$" # a number is no text
printf 'question,answer\n' >"$work/c.csv"
inspect "$work/c.csv" >"$work/out" && die "a header alone"
has "$work/out" 'nothing that can be used'
inspect "$work/nothing" 2>/dev/null && die "a file that is not there"
mkdir -p "$work/in/.git" "$work/in/sub"
cp "$work/a.txt" "$work/in/sub"
touch "$work/in/.hidden" "$work/in/.git/config"
ln -s sub "$work/in/link"
inspect "$work/in" >"$work/out" || die "a folder"
has "$work/out" 'left out: 2 hidden files and folders, 1 link to a folder or to nothing'

# The same in a pipeline: the demonstrations have other names, one is broken, a prompt file is packed.
cp -r "$here/tiny" "$work/tiny"
sed 's/"instruction":/"frage":/; s/"output":/"antwort":/' "$here/tiny/demonstrations.jsonl" >"$work/tiny/demonstrations.jsonl"
echo '{"frage": "no answer"}' >>"$work/tiny/demonstrations.jsonl"
gzip "$work/tiny/prompts.jsonl"
sed -i 's/^  demonstrations: .*/  demonstrations: {path: demonstrations.jsonl, format: {prompt: frage, answer: antwort}}/
    s/prompts.jsonl/prompts.jsonl.gz/' "$work/tiny/tiny.yaml"
"$jielong" run "$work/tiny/tiny.yaml" --home "$work/home" >"$work/out" 2>&1 && die "a broken record was trained on"
has "$work/out" 'demonstrations.jsonl:21: a question, but no answer'
"$jielong" run "$work/tiny/tiny.yaml" --home "$work/home" --set inputs.demonstrations.on_bad_record=skip >"$work/out" 2>&1 ||
    { cat "$work/out" >&2; die "the run"; }
"$jielong" status --home "$work/home" --output json >"$work/out"
has "$work/out" '"records_broken": 1'
"$jielong" logs sft --home "$work/home" >"$work/out"
has "$work/out" 'demonstrations.jsonl:21: a question, but no answer'
inspect --home "$work/home" --tokenizer vocabulary --field prompt=frage --field answer=antwort \
    "$work/tiny/demonstrations.jsonl" >"$work/out" && die "a broken record went by"
has "$work/out" '^ *records +21 read = 20 used \+ 1 broken; 20 demonstrations come of them$'
has "$work/out" '^ *as the model sees +[0-9]+ to [0-9]+ tokens'
has "$work/out" '⟦天空是蓝色的。<\|end\|>⟧'
inspect --tokenizer nothing --home "$work/home" "$work/a.txt" >/dev/null 2>&1 && die "a tokenizer that is not there"

# Every file there is, as it lies: what is in it, or a sentence.
if [ -d "$data" ]; then
    find "$data" -name '*.json*' -o -name '*.csv' -o -name '*.txt' | sort >"$work/files"
    while read -r file; do
        inspect "$file" >"$work/out" 2>"$work/err" && code=0 || code=$?
        case $code in
        0) ;;
        65) has "$work/out" '^  problems$' ;;
        *) cat "$work/err" >&2; die "$file: exit code $code" ;;
        esac
    done <"$work/files"
    inspect "$data/raw/inaugural" >"$work/out"
    has "$work/out" ': raw text, 59 files$'
    has "$work/out" '2005-Bush.txt: read as Big5'
fi
say "told and counted"
