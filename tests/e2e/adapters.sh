#!/bin/sh
# A model that came in as a Hugging Face folder is tuned by adapters, in every kind of stage that
# has them, and goes out as GGUF: the same bits with any threads, workers and segments.
. "$(dirname "$0")/common.inc"

make_model "{layers: 2, width: 32, heads: 4, kv_heads: 2, context: 64, qkv_bias: true}"

cat >"$work/in/rankings.jsonl" <<END
{"prompt": "What color is the sky?", "chosen": "The sky is blue.", "rejected": "Why?"}
{"prompt": "天空是什么颜色?", "chosen": "天空是蓝色的。", "rejected": "不知道"}
{"prompt": "What is snow?", "chosen": "It is white.", "rejected": "What?"}
END
cat >"$work/in/second.yaml" <<END
name: second
inputs: {folder: folder, rankings: rankings.jsonl, demonstrations: $here/tiny/demonstrations.jsonl, prompts: $here/tiny/prompts.jsonl}
stages:
  given: {kind: import, files: folder}
  sft:
    {kind: sft, init_from: given, demonstrations: demonstrations, epochs: 4, batch_size: 4, pretrain_mix: 0, checkpoint_every: 3,
     lora: {rank: 4, alpha: 8, targets: [q, k, v, o, gate, up, down]}}
  ranking: {kind: rank, by: {file: rankings}}
  teacher: {kind: reward_model, init_from: sft, rankings: ranking, held_out: 0, epochs: 4, batch_size: 1, checkpoint_every: 2, lora: {rank: 2}}
  direct:
    {kind: dpo, init_from: sft, rankings: ranking, held_out: 0, epochs: 4, batch_size: 1, checkpoint_every: 2,
     lora: {targets: [q_proj, v_proj]}}
  chat:
    {kind: ppo, init_from: sft, reward_model: teacher, prompts: prompts, iterations: 3, batch_size: 8, minibatch_size: 4,
     max_new_tokens: 8, rollout_shards: 2, ptx_coef: 0, lora: {rank: 4, targets: [o, down]}}
  shared:
    {kind: ppo, init_from: sft, reward_model: teacher, prompts: prompts, iterations: 2, batch_size: 8, minibatch_size: 4,
     max_new_tokens: 8, rollout_shards: 2, ptx_coef: 0, value_shared: true, lora: {rank: 4}}
  left_out:
    {kind: rloo, init_from: sft, reward_model: teacher, prompts: prompts, iterations: 2, batch_size: 8, minibatch_size: 8,
     max_new_tokens: 8, rollout_shards: 2, lora: {rank: 4}}
  dropped:
    {kind: sft, init_from: given, demonstrations: demonstrations, epochs: 2, batch_size: 4, pretrain_mix: 0, checkpoint_every: 3,
     precision: bf16, dropout: 0.1, lora: {rank: 4, targets: all-linear}}
  averaged:
    {kind: ppo, init_from: dropped, reward_model: teacher, prompts: prompts, iterations: 2, batch_size: 8, minibatch_size: 4,
     max_new_tokens: 8, rollout_shards: 2, ptx_coef: 0, ema_decay: 0.9, activation_checkpointing: true, lora: {rank: 4}}
  grouped:
    {kind: grpo, init_from: sft, reward_model: teacher, prompts: prompts, iterations: 2, batch_size: 8, minibatch_size: 8,
     group_size: 4, max_new_tokens: 8, rollout_shards: 2, precision: bf16, lora: {rank: 4, targets: [k, up]}}
  report: {kind: evaluate, models: [given, sft, direct, chat, averaged, left_out, grouped], prompts: prompts, reward_model: teacher, max_new_tokens: 8}
END
tune() {
    name=$1 && shift
    "$jielong" run "$work/in/second.yaml" --home "$work/$name" "$@" >"$work/log" 2>&1 ||
        die "$name: $(tail -5 "$work/log")"
    outputs "$work/$name" >"$work/$name.ids"
}
tune one --workers 1 --threads 1
tune three --workers 3 --threads 3 --set sft.checkpoint_every=1 --set dropped.checkpoint_every=1 --set teacher.checkpoint_every=100 --set direct.checkpoint_every=1
cmp "$work/one.ids" "$work/three.ids" || die "other bits with other workers, threads and segments"
[ "$(sort -u "$work/one.ids" | wc -l)" -gt 11 ] || die "there are too few results: $(cat "$work/one.ids")"

"$jielong" export chat --home "$work/one" --format gguf "$work/in/chat.gguf" || die "chat does not go out"
"$jielong" import --inspect "$work/in/chat.gguf" >"$work/out" || die "chat.gguf is not understood"
grep -q 'layers        2, width 32, heads 4' "$work/out" || die "chat.gguf: $(cat "$work/out")"

cat >"$work/in/wrong.yaml" <<END
name: wrong
inputs: {folder: folder, demonstrations: $here/tiny/demonstrations.jsonl}
stages:
  given: {kind: import, files: folder}
  sft: {kind: sft, init_from: given, demonstrations: demonstrations, pretrain_mix: 0, lora: {rank: 0, targets: [query]}}
END
"$jielong" validate "$work/in/wrong.yaml" >"$work/out" 2>&1 && die "rank 0 went by"
grep -q "'rank' must be at least 1" "$work/out" || die "$(cat "$work/out")"
grep -q "query" "$work/out" || die "$(cat "$work/out")"
say "tuned by adapters and out again"
