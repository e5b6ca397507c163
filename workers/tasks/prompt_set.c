#include "workers/tasks/prompt_set.h"

#include <stdlib.h>
#include <string.h>

#include "workers/tasks/warm.h"
#include "workers/text/documents.h"
#include "workers/text/template.h"

struct loading {
    struct prompt_set *set;
    const struct tokenizer *t;
    size_t context, room, limit;
};

static int tokens_of(struct ids *out, const struct tokenizer *t, const Prompt *p, struct err *e)
{
    int32_t *first = malloc(sizeof *first);

    if (!first)
        return err_set(e, E_NOMEM, "no memory for a prompt");
    *first = tokenizer_start(t);
    *out = (struct ids){ first, 1, 1 };
    return template_prompt(t, out, p->turns, p->n_turns, e);
}

static int keep(struct prompt_set *s, Prompt *takes, struct ids ids, struct err *e)
{
    Prompt **prompts = realloc(s->prompts, (s->n + 1) * sizeof *prompts);
    struct ids *tokens = prompts ? realloc(s->tokens, (s->n + 1) * sizeof *tokens) : NULL;

    if (prompts)
        s->prompts = prompts;
    if (tokens)
        s->tokens = tokens;
    if (!tokens) {
        message_free(takes);
        ids_free(&ids);
        return err_set(e, E_NOMEM, "no memory for prompts");
    }
    prompts[s->n] = takes;
    tokens[s->n++] = ids;
    return OK;
}

static int load_one(void *ctx, Prompt *p, struct err *e)
{
    struct loading *l = ctx;
    struct ids ids = { 0 };

    if (l->limit && l->set->n >= l->limit) {
        message_free(p);
        return OK;
    }
    int rc = tokens_of(&ids, l->t, p, e);
    if (rc == OK && ids.n + l->room <= l->context)
        return keep(l->set, p, ids, e);
    l->set->dropped += rc == OK;
    ids_free(&ids);
    message_free(p);
    return rc;
}

int prompt_set_load(struct prompt_set *out, const struct task_context *c, const struct id *files,
    const struct model *m, size_t room, size_t limit, struct err *e)
{
    const struct tokenizer *t = NULL;
    size_t context = m->config.context;

    *out = (struct prompt_set){ 0 };
    int rc = warm_tokenizer(&t, c, &m->tokenizer, e);
    room = room < context / 2 ? room : context / 2;
    struct loading l = { out, t, context, room, limit };
    if (rc == OK)
        rc = intake_new(&out->intake, e);
    if (rc == OK)
        rc = prompts_each(out->intake, c->store, files, load_one, &l, e);
    if (rc == OK && out->n == 0)
        rc = err_set(e, E_INPUT,
            "no prompt fits in a context of %zu tokens with %zu left for the "
            "answer (%zu are longer)",
            context, room, out->dropped);
    if (rc != OK)
        prompt_set_free(out);
    return rc;
}

int prompt_set_add_text(struct prompt_set *p, const struct tokenizer *t, const char *id,
    const char *text, struct err *e)
{
    Turn turn = TURN__INIT, *turns[] = { &turn };
    Prompt made = PROMPT__INIT;
    ProtobufCMessage *copy = NULL;
    struct ids ids = { 0 };

    turn.has_role = true;
    turn.role = ROLE__USER;
    turn.text = (char *)text;
    made.id = (char *)id;
    made.turns = turns;
    made.n_turns = 1;
    int rc = message_copy(&copy, &made.base, e);
    if (rc == OK)
        rc = tokens_of(&ids, t, &made, e);
    if (rc == OK)
        return keep(p, (Prompt *)copy, ids, e);
    message_free(copy);
    ids_free(&ids);
    return rc;
}

void prompt_set_free(struct prompt_set *p)
{
    for (size_t i = 0; i < p->n; i++) {
        message_free(p->prompts[i]);
        ids_free(&p->tokens[i]);
    }
    free(p->prompts);
    free(p->tokens);
    intake_free(p->intake);
    *p = (struct prompt_set){ 0 };
}

struct generator_options generator_options_for(
    const struct tokenizer *t, uint64_t seed, uint32_t step, size_t max_new)
{
    const TokenizerModel *m = tokenizer_model(t);
    struct generator_options o = { .sampler = { .temperature = 1, .top_p = 1 },
        .seed = seed,
        .step = step,
        .max_new = max_new,
        .slots = GENERATION_SLOTS,
        .stops = { (int32_t)m->end_of_answer, (int32_t)m->end_of_text },
        .n_stops = 2 };

    return o;
}

void generator_ban_specials(struct generator_options *o, const struct tokenizer *t)
{
    const TokenizerModel *m = tokenizer_model(t);

    for (size_t i = 0; i < m->n_special && o->n_banned < sizeof o->banned / sizeof *o->banned; i++)
        if (m->special[i] != m->end_of_text && m->special[i] != m->end_of_answer)
            o->banned[o->n_banned++] = (int32_t)m->special[i];
}
