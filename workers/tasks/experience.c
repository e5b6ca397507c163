#include "workers/tasks/experience.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/task.h"
#include "store/records.h"

static int episode_check(const Episode *x, size_t context, bool critic, struct err *e)
{
    size_t n = x->n_answer, values = critic ? n : 0;

    if (n == 0 || x->n_prompt == 0 || x->n_prompt + n > context + 1)
        return err_set(e, E_CORRUPT, "an episode of %zu + %zu tokens", x->n_prompt, n);
    if (x->n_log_probs != n || x->n_ref_log_probs != n || x->n_values != values)
        return err_set(e, E_INVARIANT,
            "an episode of %zu tokens has %zu log-probabilities, "
            "%zu of the reference and %zu values",
            n, x->n_log_probs, x->n_ref_log_probs, x->n_values);
    if (!isfinite(x->score) || !isfinite(x->gold))
        return err_set(e, E_INVARIANT, "the score of prompt '%s' is not finite", x->prompt_id);
    return OK;
}

/* Takes m. */
static int place_episode(struct experience *x, Episode *m, struct err *e)
{
    if (!m->has_item || m->item >= x->n || x->episodes[m->item]) {
        int rc = err_set(
            e, E_INVARIANT, "an episode is of place %u, beyond the batch or there twice", m->item);
        message_free(m);
        return rc;
    }
    x->episodes[m->item] = m;
    return OK;
}

static int read_shard(struct experience *x, struct store *store, const struct id *id,
    size_t context, bool critic, struct err *e)
{
    struct records_reader *r = NULL;
    int rc = records_open(&r, store, id, ARTIFACT_KIND__EXPERIENCE, &episode__descriptor, e);

    while (rc == OK) {
        ProtobufCMessage *m = NULL;
        rc = records_next(r, &m, e);
        if (rc != OK || !m)
            break;
        rc = place_episode(x, (Episode *)m, e);
        if (rc == OK)
            rc = episode_check((const Episode *)m, context, critic, e);
    }
    records_close(r);
    return rc;
}

static bool same_prompt(const Episode *a, const Episode *b)
{
    return a->n_prompt == b->n_prompt &&
           memcmp(a->prompt, b->prompt, a->n_prompt * sizeof *a->prompt) == 0;
}

static int check_groups(const struct experience *x, struct err *e)
{
    for (size_t i = 0; i < x->n; i++) {
        const Episode *first = x->episodes[i - i % x->group];
        if (!x->episodes[i])
            return err_set(e, E_INVARIANT, "episode %zu of %zu is missing", i, x->n);
        if (!same_prompt(x->episodes[i], first))
            return err_set(e, E_INVARIANT,
                "group %zu is incomplete: it has two prompts, '%s', '%s'", i / x->group,
                first->prompt_id, x->episodes[i]->prompt_id);
    }
    return OK;
}

static int lay_out(struct experience *x, struct err *e)
{
    x->first = calloc(x->n + 1, sizeof *x->first);
    if (!x->first)
        return err_set(e, E_NOMEM, "no memory for episodes");
    for (size_t i = 0; i < x->n; i++) {
        size_t tokens = x->episodes[i]->n_prompt + x->episodes[i]->n_answer;
        x->first[i + 1] = x->tokens += x->episodes[i]->n_answer;
        x->max_tokens = tokens > x->max_tokens ? tokens : x->max_tokens;
    }
    x->reward = calloc(x->tokens, sizeof *x->reward);
    x->advantage = calloc(x->tokens, sizeof *x->advantage);
    x->returns = calloc(x->tokens, sizeof *x->returns);
    if (!x->reward || !x->advantage || !x->returns)
        return err_set(e, E_NOMEM, "no memory for %zu advantages", x->tokens);
    return OK;
}

int experience_open(struct experience *out, const struct task_context *c, const TaskSpec *spec,
    const struct estimator *how, size_t context, struct err *e)
{
    const RlConfig *rl = spec->train->rl;
    size_t shards = task_inputs(spec, "experience", NULL, 0);
    struct id *ids = calloc(shards + 1, sizeof *ids);
    int rc = OK;

    *out = (struct experience){ .n = rl->batch_size, .group = rl->group_size };
    out->episodes = calloc(out->n + 1, sizeof *out->episodes);
    if (!ids || !out->episodes)
        rc = err_set(e, E_NOMEM, "no memory for episodes");
    else if (out->n == 0 || out->group < how->least_group || out->group > GROUP_MAX ||
             out->n % out->group != 0)
        rc = err_set(e, E_PROTOCOL, "%zu episodes in groups of %zu", out->n, out->group);
    if (rc == OK)
        task_inputs(spec, "experience", ids, shards);
    for (size_t i = 0; i < shards && rc == OK; i++)
        rc = read_shard(out, c->store, &ids[i], context, how->critic, e);
    free(ids);
    if (rc == OK)
        rc = check_groups(out, e);
    return rc == OK ? lay_out(out, e) : rc;
}

void experience_close(struct experience *x)
{
    for (size_t i = 0; x->episodes && i < x->n; i++)
        message_free(x->episodes[i]);
    free(x->episodes);
    free(x->first);
    free(x->reward);
    free(x->advantage);
    free(x->returns);
    *x = (struct experience){ 0 };
}
