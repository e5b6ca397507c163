#!/bin/sh
# Hugging Face's tokenizers (npm, in $JIELONG_ORACLES/node_modules) read the tokenizer.json that
# `jielong export --format huggingface` writes, and give equal ids on 10,000 lines of mixed text; so
# they do for files of others that are read here.
set -eu
oracles=${JIELONG_ORACLES:-none}
if ! [ -d "$oracles/node_modules/tokenizers" ] || ! command -v node >/dev/null; then
    echo "$0: SKIPPED: no tokenizers here (./tests/run --with-oracles)"
    exit 77
fi
. "$(dirname "$0")/../e2e/common.inc"

root=$(cd "$here/../.." && pwd)
{
    cat "$here/lines.txt" "$here/odd.txt"
    cat "$root"/pipelines/quickstart/*.jsonl "$root"/tests/e2e/*/corpus.txt "$root"/tests/e2e/*/*.jsonl
    cat "$root"/README.md "$root"/proto/*.c "$root"/workers/text/*.c "$root"/store/*.c
} | head -n 10000 >"$work/lines"
[ "$(wc -l <"$work/lines")" = 10000 ] || die "only $(wc -l <"$work/lines") lines"

# compare NAME FILE.json: with the ids in $work/ids
compare() {
    node "$here/tokenizers.mjs" "$oracles/node_modules" "$1" "$work/ids" "$work/lines" ||
        die "$1: other ids"
}

"$jielong" run "$here/splits.yaml" --home "$work/home" >"$work/log" 2>&1 || die "$(tail -5 "$work/log")"
for name in gpt2 llama qwen2; do
    id=$(outputs "$work/home" | sed -n "s/^$name-wordstokenizer://p")
    "$jielong" export "$name" --home "$work/home" --format huggingface "$work/$name" || die "$name: export"
    "$build/tests/oracle_tokens" "$work/home" "$id" "$work/lines" >"$work/ids" || die "$name: ours"
    compare "$work/$name/tokenizer.json"
done

# Qwen's normaliser, on marks that stand alone and letters in two forms
sed 's/"normalizer": null/"normalizer": {"type": "NFC"}/' "$work/qwen2/tokenizer.json" >"$work/nfc.json"
grep -q '"NFC"' "$work/nfc.json" || die "no normalizer to replace"
cp "$work/lines" "$work/all"
printf 'cafe\314\201 A\314\212\342\204\253 s\314\207\314\243 \341\204\222\341\205\241\341\206\253\n' >"$work/lines"
cat "$here/odd.txt" >>"$work/lines"
"$build/tests/oracle_tokens" "$work/nfc.json" "" "$work/lines" >"$work/ids" || die "NFC: ours"
compare "$work/nfc.json"
mv "$work/all" "$work/lines"

file=${JIELONG_SHARED:-none}/fixtures/hf_tokenizer_json/minimind/tokenizer.json
if [ -f "$file" ]; then
    "$build/tests/oracle_tokens" "$file" "" "$work/lines" >"$work/ids" || die "$file: ours"
    compare "$file"
fi
