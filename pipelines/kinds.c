#include "pipelines/kinds.h"

#include <assert.h>
#include <string.h>

#include "pipelines/fields.h"
#include "pipelines/unfold_int.h"

static bool reads_tokenizer(const Stage *s)
{
    return s->tokenizer->files && s->tokenizer->files[0];
}

static bool learns_tokenizer(const Stage *s)
{
    return !reads_tokenizer(s);
}

static bool ranks_answers(const Stage *s)
{
    return s->rank->by->kind_case != RANK_BY__KIND_FILE;
}

static bool ranks_file(const Stage *s)
{
    return !ranks_answers(s);
}

static bool mixes_text(const Stage *s)
{
    return s->sft->pretrain_mix > 0;
}

static bool chooses(const Stage *s)
{
    return s->sft->chosen_by && s->sft->chosen_by[0];
}

static bool has_ptx(const Stage *s)
{
    const ProtobufCMessage *m = stage_config(s);
    double coef = 0;

    return field_number(&coef, m, field_named(m, "ptx_coef")) && coef > 0;
}

/* Practice against a reward: the same ports, another estimator. */
#define PRACTICE \
    .rubric = { "rubric", NULL },                                                                 \
    .ports = {                                                                                    \
        { .name = "init", .field = "init_from", .takes = CONTENT_MODEL },                         \
        { .name = "tokenizer", .takes = CONTENT_TOKENIZER },                                      \
        { .name = "reward_model", .field = "reward_model", .takes = CONTENT_REWARD_MODEL,         \
            .optional = true },                                                                   \
        { .name = "reference", .field = "reference", .takes = CONTENT_MODEL, .optional = true },  \
        { .name = "prompts", .field = "prompts", .takes = CONTENT_FILES },                        \
        { .name = "text", .field = "pretrain_text", .takes = CONTENT_FILES, .optional = true,     \
            .inherits = true, .used = has_ptx },                                                  \
    },                                                                                            \
    .outputs = { { "checkpoint", CONTENT_MODEL }, { "tokenizer", CONTENT_TOKENIZER } },           \
    .numeric = true

/* The order of ports is the order of a job's bindings, and so of what its key is made of. */
static const struct kind kinds[] = {
    {
        .name = "tokenizer", .number = STAGE__KIND_TOKENIZER, .unfold = unfold_tokenizer,
        .ports = {
            { .name = "text", .field = "text", .takes = CONTENT_FILES,
                .used = learns_tokenizer },
            { .name = "files", .field = "files", .takes = CONTENT_FILES, .optional = true,
                .used = reads_tokenizer },
        },
        .outputs = { { "tokenizer", CONTENT_TOKENIZER } },
    },
    {
        .name = "import", .number = STAGE__KIND_IMPORT, .unfold = unfold_import,
        .ports = { { .name = "files", .field = "files", .takes = CONTENT_FILES } },
        .outputs = { { "checkpoint", CONTENT_MODEL }, { "tokenizer", CONTENT_TOKENIZER } },
    },
    {
        .name = "pretrain", .number = STAGE__KIND_PRETRAIN, .unfold = unfold_pretrain,
        .ports = {
            { .name = "tokenizer", .field = "tokenizer", .takes = CONTENT_TOKENIZER },
            { .name = "text", .field = "text", .takes = CONTENT_FILES },
        },
        .outputs = { { "checkpoint", CONTENT_MODEL }, { "tokenizer", CONTENT_TOKENIZER } },
        .numeric = true,
    },
    {
        .name = "sft", .number = STAGE__KIND_SFT, .unfold = unfold_sft,
        .ports = {
            { .name = "init", .field = "init_from", .takes = CONTENT_MODEL },
            { .name = "tokenizer", .takes = CONTENT_TOKENIZER },
            { .name = "demonstrations", .field = "demonstrations", .takes = CONTENT_FILES },
            { .name = "text", .field = "pretrain_text", .takes = CONTENT_FILES, .optional = true,
                .inherits = true, .used = mixes_text },
            { .name = "reward_model", .field = "chosen_by", .takes = CONTENT_REWARD_MODEL,
                .optional = true },
            { .name = "prompts", .field = "chosen_on", .takes = CONTENT_FILES, .optional = true,
                .used = chooses },
        },
        .outputs = { { "checkpoint", CONTENT_MODEL }, { "tokenizer", CONTENT_TOKENIZER } },
        .numeric = true,
    },
    {
        .name = "sample", .number = STAGE__KIND_SAMPLE, .unfold = unfold_sample,
        .ports = {
            { .name = "model", .field = "model", .takes = CONTENT_MODEL },
            { .name = "prompts", .field = "prompts", .takes = CONTENT_FILES },
        },
        .outputs = { { "answers", CONTENT_ANSWERS } },
        .numeric = true,
    },
    {
        .name = "rank", .number = STAGE__KIND_RANK, .unfold = unfold_rank,
        .rubric = { "by", "rubric" },
        .ports = {
            { .name = "answers", .field = "answers", .takes = CONTENT_ANSWERS, .optional = true,
                .used = ranks_answers },
            { .name = "rankings", .field = "by", .inner = "file", .takes = CONTENT_FILES,
                .optional = true, .used = ranks_file },
        },
        .outputs = { { "rankings", CONTENT_RANKINGS } },
    },
    {
        .name = "reward_model", .number = STAGE__KIND_REWARD_MODEL, .unfold = unfold_reward_model,
        .ports = {
            { .name = "init", .field = "init_from", .takes = CONTENT_MODEL },
            { .name = "tokenizer", .takes = CONTENT_TOKENIZER },
            { .name = "rankings", .field = "rankings", .takes = CONTENT_RANKINGS },
            { .name = "demonstrations", .field = "demonstrations", .takes = CONTENT_FILES,
                .optional = true, .inherits = true },
        },
        .outputs = { { "checkpoint", CONTENT_REWARD_MODEL }, { "tokenizer", CONTENT_TOKENIZER } },
        .numeric = true,
    },
    { .name = "ppo", .number = STAGE__KIND_PPO, .unfold = unfold_rl, PRACTICE },
    { .name = "rloo", .number = STAGE__KIND_RLOO, .unfold = unfold_rl, PRACTICE },
    { .name = "grpo", .number = STAGE__KIND_GRPO, .unfold = unfold_rl, PRACTICE },
    {
        .name = "dpo", .number = STAGE__KIND_DPO, .unfold = unfold_dpo,
        .ports = {
            { .name = "init", .field = "init_from", .takes = CONTENT_MODEL },
            { .name = "tokenizer", .takes = CONTENT_TOKENIZER },
            { .name = "rankings", .field = "rankings", .takes = CONTENT_RANKINGS },
        },
        .outputs = { { "checkpoint", CONTENT_MODEL }, { "tokenizer", CONTENT_TOKENIZER } },
        .numeric = true,
    },
    {
        .name = "evaluate", .number = STAGE__KIND_EVALUATE, .unfold = unfold_evaluate,
        .rubric = { "rubric", NULL },
        .ports = {
            { .name = "model", .field = "models", .takes = CONTENT_MODEL },
            { .name = "reference", .field = "reference", .takes = CONTENT_MODEL, .optional = true },
            { .name = "reward_model", .field = "reward_model", .takes = CONTENT_REWARD_MODEL,
                .optional = true },
            { .name = "prompts", .field = "prompts", .takes = CONTENT_FILES },
            { .name = "text", .field = "text", .takes = CONTENT_FILES, .optional = true },
            { .name = "outside", .field = "outside", .takes = CONTENT_FILES, .optional = true },
        },
        .outputs = { { "report", CONTENT_REPORT } },
        .numeric = true,
    },
};

#undef PRACTICE

const char *content_words(enum content c)
{
    static const char *const words[] = {
        [CONTENT_FILES] = "an input",
        [CONTENT_TOKENIZER] = "a tokenizer",
        [CONTENT_MODEL] = "a model",
        [CONTENT_REWARD_MODEL] = "a reward model",
        [CONTENT_ANSWERS] = "answers",
        [CONTENT_RANKINGS] = "rankings",
        [CONTENT_REPORT] = "a report",
    };
    _Static_assert(sizeof words / sizeof *words == CONTENTS, "one for each");

    return words[c];
}

const struct kind *kind_numbered(Stage__KindCase number)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].number == number)
            return &kinds[i];
    return NULL;
}

/* A oneof may say a kind and hold nothing. */
const struct kind *kind_of(const Stage *s)
{
    return s->tokenizer ? kind_numbered(s->kind_case) : NULL;
}

ProtobufCMessage *stage_config(const Stage *s)
{
    assert(kind_of(s));
    return &s->tokenizer->base; /* the members of the union are all pointers to messages */
}

/* The field, or the one inside it, and the message that it is in; NULL: there is none. */
static const ProtobufCFieldDescriptor *field_at(
    ProtobufCMessage **m, const char *field, const char *inner)
{
    if (!field)
        return NULL;
    if (!inner)
        return field_named(*m, field);
    *m = field_message(*m, field_named(*m, field));
    return *m ? field_named(*m, inner) : NULL;
}

char *const *port_names(
    size_t *n, bool *single, const ProtobufCMessage *config, const struct port *p)
{
    ProtobufCMessage *m = (ProtobufCMessage *)(uintptr_t)config;
    const ProtobufCFieldDescriptor *f = field_at(&m, p->field, p->inner);

    *n = 0;
    *single = true;
    if (!f)
        return NULL;
    *single = f->label != PROTOBUF_C_LABEL_REPEATED;
    return field_strings(n, m, f);
}

bool port_used(const Stage *s, const struct port *p)
{
    return !p->used || p->used(s);
}

const struct port *port_named(const struct kind *k, const char *name)
{
    for (const struct port *p = k->ports; p < k->ports + PORTS_MAX && p->name; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

const char *stage_rubric(const Stage *s)
{
    const struct kind *k = kind_of(s);
    ProtobufCMessage *m = k ? stage_config(s) : NULL;
    const ProtobufCFieldDescriptor *f = k ? field_at(&m, k->rubric.field, k->rubric.inner) : NULL;
    char *const *texts;
    size_t n = 0;

    texts = f ? field_strings(&n, m, f) : NULL;
    return n > 0 && texts[0][0] ? texts[0] : NULL;
}

static int clear_at(ProtobufCMessage *config, const char *field, const char *inner, struct err *e)
{
    const ProtobufCFieldDescriptor *f = field_at(&config, field, inner);

    return f ? field_clear_strings(config, f, e) : OK;
}

int config_clear_names(ProtobufCMessage *config, const struct kind *k, struct err *e)
{
    int rc = clear_at(config, k->rubric.field, k->rubric.inner, e);

    for (const struct port *p = k->ports; p < k->ports + PORTS_MAX && p->name && rc == OK; p++)
        rc = clear_at(config, p->field, p->inner, e);
    return rc;
}

const struct output *output_giving(const struct kind *k, enum content c)
{
    for (const struct output *o = k->outputs; o < k->outputs + OUTPUTS_MAX && o->name; o++)
        if (o->gives == c)
            return o;
    return NULL;
}

const struct output *output_named(const struct kind *k, const char *name)
{
    for (const struct output *o = k->outputs; o < k->outputs + OUTPUTS_MAX && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}
