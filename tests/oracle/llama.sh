#!/bin/sh
# What `jielong export --format gguf` writes, read by llama.cpp itself (npm's node-llama-cpp, in
# $JIELONG_ORACLES/node_modules): equal ids, equal greedy continuations of ten prompts, perplexity
# to 1e-3. `./tests/run --with-oracles` installs it.
set -eu
oracles=${JIELONG_ORACLES:-none}
if ! [ -d "$oracles/node_modules/node-llama-cpp" ] || ! command -v node >/dev/null; then
    echo "$0: SKIPPED: no node-llama-cpp here (./tests/run --with-oracles)"
    exit 77
fi
. "$(dirname "$0")/../e2e/common.inc"

"$jielong" run "$here/oracle.yaml" --home "$work/home" >"$work/log" 2>&1 || die "$(tail -5 "$work/log")"

# compare STAGE TYPE
compare() {
    "$jielong" export "$1" --home "$work/home" --format gguf --type "$2" "$work/$1-$2.gguf" ||
        die "export of $1 as $2"
    id=$(outputs "$work/home" | sed -n "s/^$1checkpoint://p")
    "$build/tests/oracle_ours" "$work/home" "$id" "$here/lines.txt" >"$work/$1.json" || die "$1: ours"
    node "$here/llama.mjs" "$oracles/node_modules" "$work/$1-$2.gguf" "$work/$1.json" \
        "$here/lines.txt" || die "$1 as $2: llama.cpp says otherwise"
}

compare llama f32
compare qwen2 f32
compare qwen3 f32
compare stretched f32
compare llama3 f32
compare gpt2 f32
