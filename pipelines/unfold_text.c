#include "pipelines/unfold_int.h"

/*   tokenizer   text, or files ── tokenizer                                                   */

int unfold_tokenizer(struct round *r)
{
    TaskSpec *t;
    int rc;

    if (r->number > 0)
        return round_output(r, "tokenizer", slots_get(r->slots, "tokenizer"));
    rc = round_task(r, &t, TASK_SPEC__KIND_TOKENIZER, "%s", "");
    if (rc == OK)
        rc = round_bound(r, t, "text", "text");
    return rc == OK ? round_bound(r, t, "files", "files") : rc;
}

/*   import   files ── import                                                                  */

int unfold_import(struct round *r)
{
    TaskSpec *t;
    int rc;

    if (r->number > 0) {
        rc = round_output(r, "checkpoint", slots_get(r->slots, "checkpoint"));
        return rc == OK ? round_output(r, "tokenizer", slots_get(r->slots, "tokenizer")) : rc;
    }
    rc = round_task(r, &t, TASK_SPEC__KIND_IMPORT, "%s", "");
    return rc == OK ? round_bound(r, t, "files", "files") : rc;
}

/* Nothing of the stage itself is in these tasks: whichever stage asks first, the others find the
 * answer. */
static int encode_shard(struct round *r, uint32_t shard)
{
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_ENCODE, "tokens.%u", shard);

    if (rc != OK)
        return rc;
    t->encode->has_as = t->encode->has_shard = t->encode->has_shards = t->encode->has_held_out = 1;
    t->encode->as = ENCODE_AS__AS_TEXT;
    t->encode->shard = shard;
    t->encode->shards = r->job->text_shards;
    t->encode->held_out = r->job->text_held_out;
    rc = round_bound(r, t, "tokenizer", "tokenizer");
    return rc == OK ? round_bound(r, t, "text", "text") : rc;
}

int round_encode_text(struct round *r)
{
    int rc = OK;

    for (uint32_t k = 0; round_ports(r, "text") > 0 && k < r->job->text_shards && rc == OK; k++)
        rc = encode_shard(r, k);
    return rc;
}

int round_tokens(struct round *r, TaskSpec *task)
{
    int rc = OK;

    for (uint32_t k = 0; round_ports(r, "text") > 0 && k < r->job->text_shards && rc == OK; k++)
        rc = round_input(r, task, "tokens", "tokens.%u.tokens", k);
    return rc;
}
