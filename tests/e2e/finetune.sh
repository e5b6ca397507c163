#!/bin/sh
# A small model in Hugging Face's format goes through pipelines/finetune: tuned on demonstrations and
# rankings, it comes out as GGUF, and says there what it says here.
. "$(dirname "$0")/common.inc"

make_model "{layers: 1, width: 32, heads: 2, context: 64}"
cat >"$work/in/rankings.jsonl" <<END
{"prompt": "天空是什么颜色?", "chosen": "蓝色。", "rejected": "What color is the sky?"}
{"prompt": "What color is the sky?", "chosen": "Blue.", "rejected": "天空是什么颜色?"}
{"prompt": "雪是什么颜色?", "chosen": "白色。", "rejected": "雪是什么?"}
END

"$jielong" run "$here/../../pipelines/finetune/finetune.yaml" --home "$work/home" \
    --set "inputs.model.path=$work/in/folder" \
    --set "inputs.demonstrations.path=$here/tiny/demonstrations.jsonl" \
    --set "inputs.rankings.path=$work/in/rankings.jsonl" \
    --set "inputs.prompts.path=$here/tiny/prompts.jsonl" \
    --set sft.epochs=1 --set report.limit=4 >"$work/log" 2>&1 || die "$(tail -5 "$work/log")"
"$jielong" export chat --home "$work/home" --format gguf "$work/in/chat.gguf" || die "no GGUF"

cat >"$work/in/back.yaml" <<END
name: back
inputs: {file: chat.gguf}
stages: {again: {kind: import, files: file}}
END
"$jielong" run "$work/in/back.yaml" --home "$work/home" >"$work/log" 2>&1 || die "$(tail -5 "$work/log")"
say_it() {
    "$jielong" generate "$1" --home "$work/home" --prompt "天空是什么颜色?" --seed 3 -n 24 2>/dev/null
}
[ "$(say_it again)" = "$(say_it finetune-1/chat)" ] || die "the GGUF file says something else"
say "a model of others was tuned, and went out as GGUF"
