#include "pipelines/draft.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pipelines/fields.h"
#include "pipelines/ranges.h"
#include "proto/diag.h"
#include "proto/utf8.h"

#define NAME_BYTES 64
#define PATH_BYTES 4096
#define TASKS_MAX 4096 /* in one round of an evaluation */

static const char name_help[] = "letters, digits, '_' and '-', at most 64";

/* ---- the pipeline, its inputs and names ---- */

static bool is_name(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    return n > 0 && n <= NAME_BYTES && s[n] == '\0';
}

static void check_name(struct mistakes *m, struct site at, const char *name, const char *what)
{
    if (name[0] == '\0')
        mistake_empty(m, &at, "name");
    else if (!is_name(name))
        mistake_add(m, &at, name_help, "'%s' cannot be the name of %s", name, what);
}

static void check_inputs(const Pipeline *p, struct mistakes *m)
{
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        struct site at = site_of(SITE_INPUT, i, "name"), path = site_of(SITE_INPUT, i, "path");
        const Input *one = p->inputs[i];
        at.of_key = true;
        check_name(m, at, one->name, "an input");
        for (uint32_t k = 0; k < i; k++)
            if (one->name[0] && strcmp(p->inputs[k]->name, one->name) == 0)
                mistake_add(m, &at, NULL, "input '%s' is given twice", one->name);
        if (one->path[0] == '\0')
            mistake_empty(m, &path, "path");
        else if (strlen(one->path) > PATH_BYTES)
            mistake_add(m, &path, NULL, "too long a path");
    }
}

static void check_stages(const Pipeline *p, struct mistakes *m)
{
    struct site whole = site_of(SITE_PIPELINE, 0, "stages");

    whole.of_key = true;
    if (p->n_stages == 0)
        mistake_add(m, &whole, NULL, "a pipeline needs at least one stage");
    for (uint32_t i = 0; i < p->n_stages; i++) {
        struct site at = site_of(SITE_STAGE, i, "name");
        const Stage *one = p->stages[i];
        at.of_key = true;
        check_name(m, at, one->name, "a stage");
        for (uint32_t k = 0; k < i; k++)
            if (one->name[0] && strcmp(p->stages[k]->name, one->name) == 0)
                mistake_add(m, &at, NULL, "stage '%s' is given twice", one->name);
        for (uint32_t k = 0; k < p->n_inputs; k++)
            if (one->name[0] && strcmp(p->inputs[k]->name, one->name) == 0)
                mistake_add(m, &at, "a name must tell which of the two is meant",
                    "'%s' is the name of an input already", one->name);
        if (!kind_of(one))
            mistake_empty(m, &at, "kind");
    }
}

/* Inputs are named by their place, but taken in by name. */
static void check_taken(const Submit *s, struct mistakes *m)
{
    for (uint32_t i = 0; i < s->pipeline->n_inputs && s->n_inputs > 0; i++) {
        struct site at = site_of(SITE_INPUT, i, NULL);
        const Output *artifact = NULL;
        for (size_t k = 0; k < s->n_inputs && !artifact; k++)
            if (s->inputs[k]->name && strcmp(s->inputs[k]->name, s->pipeline->inputs[i]->name) == 0)
                artifact = s->inputs[k]->artifact;
        if (!artifact || artifact->id.len != sizeof(struct id))
            mistake_add(m, &at, NULL, "it was not taken in");
        else if (artifact->kind != ARTIFACT_KIND__FILES)
            mistake_add(m, &at, NULL, "it was not taken in as files");
    }
}

bool check_pipeline(const Submit *s, struct mistakes *m)
{
    struct site at = site_of(SITE_PIPELINE, 0, NULL);
    const Pipeline *p = s->pipeline;

    if (!p) {
        mistake_add(m, &at, NULL, "there is no pipeline");
        return false;
    }
    if (p->n_inputs > JOBS_MAX || p->n_stages > JOBS_MAX || s->n_inputs > JOBS_MAX ||
        s->n_rubrics > JOBS_MAX) {
        mistake_add(m, &at, NULL, "more than %d stages or inputs", JOBS_MAX);
        return false;
    }
    check_name(m, site_of(SITE_PIPELINE, 0, "name"), p->name, "a pipeline");
    at = site_of(SITE_PIPELINE, 0, "numeric_class");
    if (p->numeric_class[0] == '\0' || strlen(p->numeric_class) > NAME_BYTES)
        mistake_add(m, &at, "'auto' takes the best that the workers share",
            "'%.*s' is no numeric class", (int)utf8_fit(p->numeric_class, NAME_BYTES),
            p->numeric_class);
    check_inputs(p, m);
    check_stages(p, m);
    check_taken(s, m);
    return true;
}

/* ---- one job ---- */

static struct mistake *tell(const struct drafts *d, const struct draft *one, struct site at,
    const char *help, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static struct mistake *tell(const struct drafts *d, const struct draft *one, struct site at,
    const char *help, const char *fmt, ...)
{
    char what[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    at = draft_site(one, at);
    return mistake_add(d->mistakes, &at, help, "%s", what);
}

static struct site at_key(const struct draft *one, const char *key)
{
    return site_of(SITE_STAGE, one->stage, key);
}

/* A name of a list of three, which a worker knows. */
static void check_word(const struct drafts *d, const struct draft *one, const char *key,
    const char *what, const char *name, const char *const names[3])
{
    const char *nearest;
    char help[64];

    for (size_t i = 0; i < 3; i++)
        if (strcmp(names[i], name) == 0)
            return;
    nearest = diag_nearest(name, names, 3);
    if (nearest)
        snprintf(help, sizeof help, "did you mean '%s'?", nearest);
    else
        snprintf(help, sizeof help, "one of: %s, %s, %s", names[0], names[1], names[2]);
    tell(d, one, at_key(one, key), help, "there is no %s '%s'", what, name);
}

static const char *const templates[3] = { "plain", "chatml", "llama3" };

static void check_import(const struct drafts *d, const struct draft *one)
{
    if (one->copy->import->template_)
        check_word(d, one, "template", "chat template", one->copy->import->template_, templates);
}

static void check_tokenizer(const struct drafts *d, const struct draft *one)
{
    static const char *const splits[3] = { "gpt-2", "llama-bpe", "qwen2" };
    const TokenizerStage *t = one->copy->tokenizer;
    bool reads = t->files && *t->files;

    check_word(d, one, "template", "chat template", t->template_, templates);
    check_word(d, one, "split", "split", t->split, splits);
    if (reads && t->n_text > 0)
        tell(d, one, at_key(one, "files"), NULL,
            "a tokenizer is learnt from 'text' or read from 'files', not both");
}

static void check_pretrain(const struct drafts *d, const struct draft *one)
{
    const ModelConfig *c = one->copy->pretrain->model;
    struct site model = at_key(one, "model");
    struct site heads = site_key(model, "heads");
    bool derived = c->head_dim == 0;

    if (c->heads == 0 || c->width == 0)
        return; /* told by its range */
    if (!derived && (c->head_dim % 2 != 0 || c->head_dim > c->width))
        tell(d, one, site_key(model, "head_dim"), NULL,
            "head_dim %u is not even, or more than the width %u", c->head_dim, c->width);
    if (derived && c->width % c->heads != 0)
        tell(d, one, heads, NULL, "%u heads do not divide the width %u", c->heads, c->width);
    else if (derived && c->width / c->heads % 2 != 0)
        tell(d, one, heads, NULL, "width %u / heads %u = %u is not even", c->width, c->heads,
            c->width / c->heads);
    if (c->kv_heads > 0 && c->heads % c->kv_heads != 0)
        tell(d, one, site_key(model, "kv_heads"), NULL, "%u kv_heads do not divide %u heads",
            c->kv_heads, c->heads);
    if (c->qkv_bias && c->family != MODEL_CONFIG__FAMILY__LLAMA)
        tell(d, one, site_key(model, "qkv_bias"), NULL, "only the llama family has 'qkv_bias'");
    if (c->qk_norm && (c->qkv_bias || c->family != MODEL_CONFIG__FAMILY__LLAMA))
        tell(d, one, site_key(model, "qk_norm"), NULL,
            "'qk_norm' is for the llama family without 'qkv_bias'");
    if (c->rope_scaling != MODEL_CONFIG__ROPE_SCALING__NONE &&
        c->family != MODEL_CONFIG__FAMILY__LLAMA)
        tell(d, one, site_key(model, "rope_scaling"), NULL, "only the llama family has RoPE");
    if (c->rope_low_freq_factor >= c->rope_high_freq_factor)
        tell(d, one, site_key(model, "rope_low_freq_factor"), NULL,
            "rope_low_freq_factor %g is not below rope_high_freq_factor %g",
            c->rope_low_freq_factor, c->rope_high_freq_factor);
    if (c->value_head)
        tell(d, one, site_key(model, "value_head"), "a stage of kind ppo sets it",
            "a model that continues text has no value head");
    if (c->scalar_head)
        tell(d, one, site_key(model, "scalar_head"), "a stage of kind reward_model sets it",
            "a model that continues text has no scalar head");
}

static void check_rank(const struct drafts *d, const struct draft *one)
{
    const RankStage *r = one->copy->rank;
    struct site by = at_key(one, "by"), here = at_key(one, "answers");

    if (r->by->kind_case == RANK_BY__KIND__NOT_SET) {
        by = draft_site(one, by);
        mistake_empty(d->mistakes, &by, "by");
        return;
    }
    here.of_key = true;
    if (r->by->kind_case != RANK_BY__KIND_FILE && (!r->answers || !r->answers[0]))
        tell(d, one, here, "name a stage of kind sample", "key 'answers' is missing");
    if (r->by->kind_case == RANK_BY__KIND_RUBRIC && !r->by->rubric[0])
        tell(d, one, site_key(by, "rubric"), NULL, "'rubric' is empty");
    if (r->by->kind_case == RANK_BY__KIND_FILE && !r->by->file[0])
        tell(d, one, site_key(by, "file"), NULL, "'file' is empty");
}

/* A number that the kind may have under this name; `otherwise` when it has not. */
static uint32_t number(const struct draft *one, const char *field, uint32_t otherwise)
{
    const ProtobufCMessage *m = stage_config(one->copy);
    const ProtobufCFieldDescriptor *f = field_named(m, field);
    double value = otherwise;

    if (f)
        field_number(&value, m, f);
    return (uint32_t)value;
}

static void check_groups(const struct drafts *d, const struct draft *one)
{
    uint32_t batch = number(one, "batch_size", 0), group = number(one, "group_size", 1);
    uint32_t shards = number(one, "rollout_shards", 0);

    if (group == 0)
        return; /* told by its range */
    if (batch % group != 0)
        tell(d, one, at_key(one, "group_size"), NULL,
            "'batch_size' %u is no multiple of 'group_size' %u", batch, group);
    else if (shards > batch / group)
        tell(d, one, at_key(one, "rollout_shards"), NULL,
            "'rollout_shards' %u is more than 'batch_size' %u%s", shards, batch / group,
            group > 1 ? " / 'group_size'" : "");
}

/* ppo, rloo, grpo */
static void check_practice(const struct drafts *d, const struct draft *one)
{
    const PpoStage *p = one->kind->number == STAGE__KIND_PPO ? one->copy->ppo : NULL;
    uint32_t batch = number(one, "batch_size", 0), mini = number(one, "minibatch_size", 0);
    size_t teachers;
    bool single;
    char *const *teacher = port_names(
        &teachers, &single, stage_config(one->copy), port_named(one->kind, "reward_model"));
    struct site reward = at_key(one, "reward_model");

    if (mini > batch)
        tell(d, one, at_key(one, "minibatch_size"), NULL,
            "'minibatch_size' %u is more than 'batch_size' %u", mini, batch);
    check_groups(d, one);
    if (p && p->adaptive_kl && p->kl_coef == 0)
        tell(d, one, at_key(one, "adaptive_kl"), "it multiplies kl_coef",
            "'adaptive_kl' needs a 'kl_coef' above 0 to start from");
    reward.of_key = true;
    if ((teachers == 0 || !teacher[0][0]) && !stage_rubric(one->copy))
        tell(d, one, reward, "name a stage of kind reward_model, or a rubric file",
            "there is no reward: neither 'reward_model' nor 'rubric' is given");
}

static void check_sft(const struct drafts *d, const struct draft *one)
{
    const SftStage *s = one->copy->sft;
    struct site at = at_key(one, "chosen_by");

    at.of_key = true;
    if (s->chosen_by && s->chosen_by[0] && (!s->chosen_on || !s->chosen_on[0]))
        tell(d, one, at, "name an input of prompts",
            "'chosen_by' needs 'chosen_on': prompts whose answers it scores");
}

static void check_evaluate(const struct drafts *d, const struct draft *one)
{
    const EvaluateStage *v = one->copy->evaluate;
    struct site at = at_key(one, "reward_examples");

    at.of_key = true;
    if (v->n_reward_examples > 0 && (!v->reward_model || !v->reward_model[0]))
        tell(d, one, at, "name a stage of kind reward_model",
            "'reward_examples' needs a 'reward_model' that scores them");
    if (v->best_of > 1 && (!v->reward_model || !v->reward_model[0]))
        tell(d, one, at_key(one, "best_of"), "name a stage of kind reward_model",
            "'best_of' needs a 'reward_model' that picks");
}

/* The rubric that came with the submission is there, and right. */
static void check_rubric(const struct drafts *d, const struct draft *one)
{
    const char *path = stage_rubric(one->copy);
    struct site at = site_key(at_key(one, one->kind->rubric.field), one->kind->rubric.inner);
    struct mistakes found = { 0 };

    if (!path)
        return;
    for (size_t i = 0; i < d->submit->n_rubrics; i++) {
        const NamedRubric *r = d->submit->rubrics[i];
        if (!r->path || !r->rubric || strcmp(r->path, path) != 0)
            continue;
        rubric_check(&found, at, r->rubric);
        for (size_t k = 0; k < found.n; k++)
            tell(d, one, at, found.items[k].help, "rubric '%s': %s", path, found.items[k].what);
        mistakes_free(&found);
        return;
    }
    tell(d, one, at, NULL, "there is no rubric '%s'", path);
}

static const struct {
    Stage__KindCase kind;
    void (*check)(const struct drafts *d, const struct draft *one);
} relations[] = {
    { STAGE__KIND_IMPORT, check_import },
    { STAGE__KIND_TOKENIZER, check_tokenizer },
    { STAGE__KIND_PRETRAIN, check_pretrain },
    { STAGE__KIND_SFT, check_sft },
    { STAGE__KIND_RANK, check_rank },
    { STAGE__KIND_PPO, check_practice },
    { STAGE__KIND_RLOO, check_practice },
    { STAGE__KIND_GRPO, check_practice },
    { STAGE__KIND_EVALUATE, check_evaluate },
};

void check_draft(const struct drafts *d, const struct draft *one)
{
    struct mistakes found = { 0 };

    ranges_check(&found, at_key(one, NULL), &one->copy->base);
    for (size_t i = 0; i < found.n; i++) {
        const struct mistake *from = &found.items[i];
        struct mistake *to = tell(d, one, from->at, from->help, "%s", from->what);
        if (to)
            to->reader = from->reader;
    }
    d->mistakes->no_memory |= found.no_memory;
    mistakes_free(&found);
    for (size_t i = 0; i < sizeof relations / sizeof *relations; i++)
        if (relations[i].kind == one->kind->number)
            relations[i].check(d, one);
    check_rubric(d, one);
}

/* ---- between jobs ---- */

/* The tokenizer stage whose tokenizer a model has; NULL: not known. */
static const struct draft *tokenizer_of(const struct drafts *d, const struct draft *one)
{
    for (size_t i = 0; i < d->n && one; i++) {
        const struct reference *r;
        if (one->kind->number == STAGE__KIND_TOKENIZER)
            return one;
        r = one->base ? draft_reference(one->base, "tokenizer") : NULL;
        one = r && r->is_job ? &d->items[r->source] : NULL;
    }
    return NULL;
}

/* Both are trained, directly or not, on the same tokens. */
static void check_tokenizers(const struct drafts *d, const struct draft *one, const char *key,
    const struct draft *a, const struct draft *b)
{
    const struct draft *ta = tokenizer_of(d, a), *tb = tokenizer_of(d, b);

    if (ta && tb && ta != tb)
        tell(d, one, at_key(one, key), NULL, "'%s' and '%s' have different tokenizers", a->name,
            b->name);
}

static const struct draft *source_of(
    const struct drafts *d, const struct draft *one, const char *port)
{
    const struct reference *r = draft_reference(one, port);

    return r && r->is_job ? &d->items[r->source] : NULL;
}

static void check_context(const struct drafts *d, const struct draft *one,
    const struct draft *model, uint32_t max_new_tokens)
{
    uint32_t context;

    if (!model || !model->base)
        return;
    context = model->base->copy->pretrain->model->context;
    if (max_new_tokens >= context)
        tell(d, one, at_key(one, "max_new_tokens"), NULL,
            "%u new tokens leave no room for a prompt: '%s' has a context of %u", max_new_tokens,
            model->name, context);
}

/* Of a model that is trained from here on; one that was imported is known to its worker alone. */
static void check_adapters(const struct drafts *d, const struct draft *one)
{
    const ProtobufCMessage *m = stage_config(one->copy);
    const ProtobufCFieldDescriptor *f = field_named(m, "lora");
    const LoraConfig *lora = f ? (const LoraConfig *)field_message(m, f) : NULL;
    struct site at = at_key(one, "lora");

    if (!lora || !one->init || !one->init->base)
        return;
    const ModelConfig *c = one->init->base->copy->pretrain->model;
    if (lora->rank > c->width)
        tell(d, one, site_key(at, "rank"), NULL, "rank %u is more than the width %u of '%s'",
            lora->rank, c->width, one->init->name);
    for (size_t i = 0; i < lora->n_targets && c->family == MODEL_CONFIG__FAMILY__GPT2; i++)
        if (lora->targets[i] == LORA_CONFIG__TARGET__GATE ||
            lora->targets[i] == LORA_CONFIG__TARGET__GATE_PROJ)
            tell(d, one, site_item(site_key(at, "targets"), i), NULL, "'%s' has no gates",
                one->init->name);
}

static void agree_sample(const struct drafts *d, const struct draft *one)
{
    check_context(d, one, source_of(d, one, "model"), one->copy->sample->max_new_tokens);
}

static void agree_rank(const struct drafts *d, const struct draft *one)
{
    const struct draft *sample = source_of(d, one, "answers");

    if (sample && one->copy->rank->by->kind_case != RANK_BY__KIND_FILE &&
        sample->copy->sample->answers_per_prompt < 2)
        tell(d, one, at_key(one, "answers"), "give it answers_per_prompt: 4",
            "'%s' has one answer to each prompt: there is nothing to rank", sample->name);
}

/* As many answers as are sampled for each prompt are ranked, and learnt from. */
static void agree_reward_model(const struct drafts *d, const struct draft *one)
{
    const struct draft *rank = source_of(d, one, "rankings");
    const struct draft *sample = rank ? source_of(d, rank, "answers") : NULL;
    uint32_t most = one->copy->reward_model->max_answers;

    if (sample && rank->copy->rank->by->kind_case != RANK_BY__KIND_FILE &&
        sample->copy->sample->answers_per_prompt > most)
        tell(d, one, at_key(one, "max_answers"), NULL,
            "'%s' has %u answers to each prompt, more than 'max_answers' %u", sample->name,
            sample->copy->sample->answers_per_prompt, most);
}

static void agree_practice(const struct drafts *d, const struct draft *one)
{
    static const char *const ports[] = { "reward_model", "reference" };

    check_context(d, one, one->init, number(one, "max_new_tokens", 0));
    for (size_t i = 0; i < sizeof ports / sizeof *ports && one->init; i++)
        if (source_of(d, one, ports[i]))
            check_tokenizers(d, one, ports[i], one->init, source_of(d, one, ports[i]));
}

static void agree_evaluate(const struct drafts *d, const struct draft *one)
{
    static const char *const ports[] = { "reference", "reward_model" };
    const struct draft *judges[] = { source_of(d, one, ports[0]), source_of(d, one, ports[1]) };
    uint32_t shards = one->copy->evaluate->shards;

    if (one->n_refs > TASKS_MAX / (shards ? shards : 1))
        tell(d, one, at_key(one, "shards"), NULL, "more than %d tasks", TASKS_MAX);
    for (size_t i = 0; i < one->n_refs; i++) {
        const struct reference *r = &one->refs[i];
        const struct draft *model = r->is_job ? &d->items[r->source] : NULL;
        if (!model || !r->port || strcmp(r->port->name, "model") != 0)
            continue;
        check_context(d, one, model, one->copy->evaluate->max_new_tokens);
        for (size_t k = 0; k < 2; k++)
            if (judges[k])
                check_tokenizers(d, one, ports[k], model, judges[k]);
    }
}

static const struct {
    Stage__KindCase kind;
    void (*check)(const struct drafts *d, const struct draft *one);
} agreements[] = {
    { STAGE__KIND_SAMPLE, agree_sample },
    { STAGE__KIND_RANK, agree_rank },
    { STAGE__KIND_REWARD_MODEL, agree_reward_model },
    { STAGE__KIND_PPO, agree_practice },
    { STAGE__KIND_RLOO, agree_practice },
    { STAGE__KIND_GRPO, agree_practice },
    { STAGE__KIND_EVALUATE, agree_evaluate },
};

void check_agreement(const struct drafts *d, const struct draft *one)
{
    for (size_t i = 0; i < sizeof agreements / sizeof *agreements; i++)
        if (agreements[i].kind == one->kind->number)
            agreements[i].check(d, one);
    check_adapters(d, one);
}
