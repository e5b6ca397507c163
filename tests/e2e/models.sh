#!/bin/sh
# A model goes out as a Hugging Face folder and as GGUF, comes in again as a pipeline's input, and
# answers as it did; what is trained on it goes out as well.
. "$(dirname "$0")/common.inc"

make_model "{layers: 1, width: 32, heads: 2, context: 48}"
"$jielong" export base --home "$work/home" --format gguf "$work/in/model.gguf" || die "no file"
if "$jielong" export base --home "$work/home" --format gguf "$work/in/model.gguf" 2>"$work/log"; then
    die "a file was written over"
fi

for path in folder model.gguf; do
    "$jielong" import --inspect "$work/in/$path" >"$work/out" || die "$path is not understood"
    grep -q 'layers        1, width 32, heads 2' "$work/out" || die "$path: $(cat "$work/out")"
done

cat >"$work/in/second.yaml" <<END
name: second
inputs:
  folder: folder
  file: model.gguf
  demonstrations: $here/tiny/demonstrations.jsonl
stages:
  one: {kind: import, files: folder}
  two: {kind: import, files: file}
  sft: {kind: sft, init_from: one, demonstrations: demonstrations, epochs: 1, pretrain_mix: 0}
END
"$jielong" run "$work/in/second.yaml" --home "$work/home" >"$work/log" 2>&1 || die "$(tail -5 "$work/log")"

say_it() {
    "$jielong" generate "$1" --home "$work/home" --prompt "$2" --raw --temperature 0 -n 12 2>/dev/null
}
for text in "The river" "天上"; do
    want=$(say_it made-1/base "$text")
    for name in one two; do
        [ "$(say_it "$name" "$text")" = "$want" ] || die "$name continues '$text' otherwise"
    done
done
"$jielong" export sft --home "$work/home" --format gguf --type bf16 "$work/in/sft.gguf" || die "sft does not go out"
[ -s "$work/in/sft.gguf" ] || die "sft.gguf is empty"
say "out and in again by both formats: the same continuations"

# The tokenizer alone, of the same files: the same one; a model of one's own learns with it.
cp "$work/in/folder/tokenizer.json" "$work/in/named.json"
mkdir "$work/in/alone"
cp "$work/in/folder/tokenizer.json" "$work/in/alone"
printf 'AA== 0\n' >"$work/in/cut.tiktoken"
for path in alone alone/tokenizer.json; do
    "$jielong" import --inspect "$work/in/$path" >"$work/out" || die "$path is not understood"
    grep -q 'vocabulary    320 rows, 320 tokens' "$work/out" || die "$path: $(cat "$work/out")"
    grep -q 'parameters' "$work/out" && die "$path has a model: $(cat "$work/out")"
done
"$jielong" import --inspect "$work/in/alone" --output json | grep -q '"tokenizer": {"tokens": 320' || die "no JSON"
"$jielong" import --inspect "$work/in/cut.tiktoken" 2>"$work/log" && die "a cut tokenizer"
grep -q 'no token for byte 0x01' "$work/log" || die "$(cat "$work/log")"
cat >"$work/in/third.yaml" <<END
name: third
inputs:
  folder: folder
  file: model.gguf
  named: named.json
  corpus: {path: $here/tiny/corpus.txt, split: paragraph}
stages:
  one: {kind: import, files: folder}
  two: {kind: import, files: file}
  of_one: {kind: tokenizer, files: folder}
  of_two: {kind: tokenizer, files: file}
  of_named: {kind: tokenizer, files: named}
  base:
    {kind: pretrain, tokenizer: of_named, text: corpus, steps: 2, batch_size: 2,
     model: {layers: 1, width: 32, heads: 2, context: 48}}
END
"$jielong" run "$work/in/third.yaml" --home "$work/home" >"$work/log" 2>&1 || die "$(tail -5 "$work/log")"
outputs "$work/home" >"$work/ids"
for name in one two; do
    want=$(sed -n "s/^${name}tokenizer://p" "$work/ids")
    [ -n "$want" ] || die "$name has no tokenizer: $(cat "$work/ids")"
    grep -qx "of_${name}tokenizer:$want" "$work/ids" || die "of_$name is another: $(cat "$work/ids")"
done
grep -q '^of_namedtokenizer:' "$work/ids" || die "a tokenizer.json of another name"
say "a tokenizer alone"

cat >"$work/in/fourth.yaml" <<END
name: fourth
inputs: {folder: folder}
stages: {cut: {kind: tokenizer, files: folder, split: qwen2}}
END
"$jielong" run "$work/in/fourth.yaml" --home "$work/home" >"$work/log" 2>&1 && die "a split that is not the folder's"
grep -q "split: 'qwen2' is asked for, but the files cut text by 'gpt-2'" "$work/log" || die "$(cat "$work/log")"
