#include "pipelines/ranges.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pipelines/fields.h"

#define ANY(field, min, max, ends, why)   \
    {                                     \
        NULL, #field, min, max, ends, why \
    }
#define OF(type, field, min, max, ends, why)             \
    {                                                    \
        &type##__descriptor, #field, min, max, ends, why \
    }
#define PRACTICE(field, min, max, ends, why)                                               \
    OF(ppo_stage, field, min, max, ends, why), OF(rloo_stage, field, min, max, ends, why), \
        OF(grpo_stage, field, min, max, ends, why)

static const char room[] = "0 would leave nothing to do";
static const char shards[] = "each shard is a task of its own";

/* The first row that fits counts: rows for one message stand before those for all. */
static const struct range ranges[] = {
    /* models */
    OF(model_config, layers, 1, 256, CLOSED, NULL),
    OF(model_config, width, 2, 32768, CLOSED, NULL),
    OF(model_config, heads, 1, 1024, CLOSED, NULL),
    OF(model_config, kv_heads, 0, 1024, CLOSED, "0 means as many as heads"),
    OF(model_config, hidden, 0, 262144, CLOSED, "0 means as the family has it"),
    OF(model_config, context, 2, 1048576, CLOSED, "one token is there to predict another"),
    OF(model_config, vocab_size, 0, 0, CLOSED, "it is the tokenizer's: set it there"),
    OF(model_config, head_dim, 0, 4096, CLOSED, "0 means width / heads"),
    OF(model_config, rope_theta, 1, 1e9, CLOSED, NULL),
    OF(model_config, rope_factor, 1, 1e6, CLOSED, NULL),
    OF(model_config, rope_low_freq_factor, 0, 1e6, OPEN_MIN, NULL),
    OF(model_config, rope_high_freq_factor, 0, 1e6, OPEN_MIN, NULL),
    OF(model_config, rope_original_context, 1, 1048576, CLOSED, NULL),
    OF(model_config, norm_eps, 1e-16, 1, CLOSED, "it keeps a division from being by 0"),
    OF(model_config, lora_rank, 0, 0, CLOSED, "a stage that trains adapters says so by 'lora'"),
    OF(model_config, lora_alpha, 0, 0, CLOSED, "a stage that trains adapters says so by 'lora'"),
    OF(model_config, lora_targets, 0, 0, CLOSED, "a stage that trains adapters says so by 'lora'"),
    OF(lora_config, rank, 1, 1024, CLOSED,
        "the change has this rank; without 'lora' all is trained"),
    OF(lora_config, alpha, 0, 65536, OPEN_MIN, "the change is scaled by alpha / rank"),

    /* what only one kind has, or has otherwise */
    OF(tokenizer_stage, vocab_size, 260, 1048576, CLOSED,
        "256 bytes and the special tokens come first"),
    OF(import_stage, context, 0, 1048576, CLOSED, "0 means the model's own"),
    OF(sft_stage, pretrain_mix, 0, 1, OPEN_MAX, "it is the share of the loss that text has"),
    OF(people, target, 0, 1e8, CLOSED, NULL),
    PRACTICE(batch_size, 1, 1048576, CLOSED, room),
    PRACTICE(temperature, 0.01, 10, CLOSED, "practice without chance explores nothing"),
    ANY(iterations, 1, 1e6, CLOSED, room),
    ANY(minibatch_size, 1, 1048576, CLOSED, room),
    ANY(rollout_shards, 1, 256, CLOSED, shards),
    ANY(group_size, 2, 1024, CLOSED, "an answer is compared with others to its prompt"),
    ANY(kl_coef, 0, 1000, CLOSED, "below 0 it would reward leaving the reference"),
    ANY(kl_target, 0, 1e6, OPEN_MIN, "in nats"),
    ANY(kl_horizon, 1, 1e12, CLOSED, "in episodes"),
    ANY(clip_ratio, 0, 1, OPEN_MIN | OPEN_MAX, "the probability ratio stays within 1 ± it"),
    ANY(value_clip, 0, 1e6, OPEN_MIN, "values move by at most so much"),
    ANY(discount, 0, 1, OPEN_MIN, NULL),
    ANY(gae_lambda, 0, 1, CLOSED, "0 trusts the values alone, 1 the returns alone"),
    ANY(missing_end_score, -1e6, 1e6, CLOSED, NULL),
    ANY(ptx_coef, 0, 1e6, CLOSED, "0 turns it off"),
    ANY(ptx_examples, 0, 1024, OPEN_MIN, "ptx_coef: 0 turns it off"),
    OF(sft_stage, chosen_limit, 0, 1e9, CLOSED, "0 means all"),
    OF(sft_stage, chosen_max_new_tokens, 1, 1048575, CLOSED, room),
    OF(ppo_stage, value_coef, 0, 1000, OPEN_MIN, "without it the critic would not learn"),
    ANY(value_learning_rate, 0, 10, OPEN_MIN, NULL),
    ANY(warmup_iterations, 0, 1e6, CLOSED, NULL),
    ANY(warmup_start, 0, 1, CLOSED, "it is a share of the learning rate"),
    ANY(ema_decay, 0, 0.999999, CLOSED, "0 turns it off; nearer to 1 the average would never move"),
    OF(evaluate_stage, best_of, 1, 1024, CLOSED, "1 turns it off"),
    OF(dpo_stage, beta, 0, 1000, OPEN_MIN, "it is the weight of KL to the reference"),
    OF(dpo_stage, label_smoothing, 0, 0.5, OPEN_MAX, "at a half labels would say nothing"),
    OF(reward_model_stage, max_answers, 2, 64, CLOSED, "one answer has no rank"),
    OF(evaluate_stage, side_by_side, 0, 10000, CLOSED, NULL),

    /* rubrics: weights may count against */
    OF(rubric, right, -1000, 1000, CLOSED, NULL),
    OF(rubric, answers, -1000, 1000, CLOSED, NULL),
    OF(rubric, language, -1000, 1000, CLOSED, NULL),
    OF(rubric, ends, -1000, 1000, CLOSED, NULL),
    OF(rubric, short, -1000, 1000, CLOSED, NULL),
    OF(rubric, max_chars, 1, 1e6, CLOSED, NULL),
    OF(rubric, max_chars_en, 1, 1e6, CLOSED, NULL),
    OF(rubric, noise, 0, 1, CLOSED, "it is a probability"),
    OF(rule, score, -1000, 1000, CLOSED, NULL),

    /* every stage */
    OF(stage, retries, 0, 1000, CLOSED, NULL),
    OF(stage, timeout, 0, 1e9, CLOSED, "in seconds; 0 means no limit"),
    ANY(audit, 0, 1, CLOSED, "it is the share of the tasks that are run twice"),
    OF(resources, threads, 0, 4096, CLOSED, "0 means as many as the worker gives"),

    /* training */
    ANY(steps, 1, 1e9, CLOSED, room),
    ANY(epochs, 1, 10000, CLOSED, room),
    ANY(batch_size, 1, 65536, CLOSED, room),
    ANY(gradient_accumulation, 1, 65536, CLOSED, "1 means a step is one batch"),
    ANY(learning_rate, 0, 10, OPEN_MIN, NULL),
    ANY(min_lr_ratio, 0, 1, CLOSED, "it is a share of the learning rate"),
    ANY(warmup_steps, 0, 1e9, CLOSED, NULL),
    ANY(beta1, 0, 0.999999, CLOSED, "nearer to 1 the moment would never move"),
    ANY(beta2, 0, 0.999999, CLOSED, "nearer to 1 the moment would never move"),
    ANY(eps, 1e-16, 1, CLOSED, "it keeps a division from being by 0"),
    ANY(weight_decay, 0, 10, CLOSED, NULL),
    ANY(grad_clip, 0, 1e6, CLOSED, "0 turns it off"),
    ANY(dropout, 0, 0.9, CLOSED, "it is the share that is dropped"),
    ANY(held_out, 0, 1, OPEN_MAX, "at 1 nothing would be left to learn from"),
    ANY(encode_shards, 1, 256, CLOSED, shards),
    ANY(checkpoint_every, 1, 1e9, CLOSED, "in steps"),

    /* sampling */
    ANY(answers_per_prompt, 1, 1024, CLOSED, room),
    ANY(max_new_tokens, 1, 1048575, CLOSED, room),
    ANY(temperature, 0, 10, CLOSED, "0 is greedy"),
    ANY(top_k, 0, 1048576, CLOSED, "0 turns it off"),
    ANY(top_p, 0, 1, OPEN_MIN, "1 turns it off"),
    ANY(min_p, 0, 1, OPEN_MAX, "0 turns it off"),
    ANY(shards, 1, 256, CLOSED, shards),
    ANY(limit, 0, 1e9, CLOSED, "0 means all"),
};

#undef ANY
#undef OF
#undef PRACTICE

const struct range *range_of(const ProtobufCMessageDescriptor *type, const char *field)
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if ((!ranges[i].type || ranges[i].type == type) && strcmp(ranges[i].field, field) == 0)
            return &ranges[i];
    return NULL;
}

bool range_holds(const struct range *r, double value)
{
    bool above = r->ends & OPEN_MIN ? value > r->min : value >= r->min;
    bool below = r->ends & OPEN_MAX ? value < r->max : value <= r->max;

    return above && below;
}

/* The end of the range that the value is beyond, in words. */
static struct mistake *tell(
    struct mistakes *out, const struct site *at, const struct range *r, double value)
{
    bool low = !(r->ends & OPEN_MIN ? value > r->min : value >= r->min);
    const char *words = low ? (r->ends & OPEN_MIN ? "more than" : "at least")
                            : (r->ends & OPEN_MAX ? "less than" : "at most");

    if (r->min == r->max)
        return mistake_add(
            out, at, r->why, "'%s' must be %.15g, not %.15g", r->field, r->min, value);
    if (isnan(value))
        return mistake_add(out, at, r->why, "'%s' must be a number", r->field);
    return mistake_add(out, at, r->why, "'%s' must be %s %.15g, not %.15g", r->field, words,
        low ? r->min : r->max, value);
}

void ranges_check(struct mistakes *out, struct site at, const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const ProtobufCMessage *inner = field_message(m, f);
        struct site here = site_key(at, f->name);
        struct mistake *one = NULL;
        const struct range *r;
        double value;
        size_t n;
        ProtobufCMessage *const *items = field_messages(&n, m, f);
        if (inner)
            ranges_check(out, here, inner);
        for (size_t k = 0; k < n; k++)
            ranges_check(out, site_item(here, k), items[k]);
        if (!field_number(&value, m, f))
            continue;
        r = range_of(m->descriptor, f->name);
        if (r && !range_holds(r, value))
            one = tell(out, &here, r, value);
        if (one && f->label == PROTOBUF_C_LABEL_REQUIRED && value == 0)
            one->reader = READER_TELLS_MISSING | READER_TELLS_WRONG;
    }
}

void rubric_check(struct mistakes *out, struct site at, const Rubric *r)
{
    ranges_check(out, at, &r->base);
    for (size_t i = 0; i < r->n_rules; i++) {
        struct site here = site_item(site_key(at, "rules"), i);
        if (!r->rules[i]->contains[0])
            mistake_empty(out, &here, "contains");
    }
}
