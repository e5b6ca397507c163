#include "pipelines/unfold_int.h"

#include <stdlib.h>
#include <string.h>

#include "proto/task.h"

/*   sample     prompts ─┬─ generate ─┬─ join ── answers
 *                       └─ generate ─┘
 *   rank       answers ── rank by a rubric, or people ── rankings        rankings file ── rank
 *   evaluate   prompts ─┬─ score model 0, shard 0 ─┬─ report
 *                       └─ score model 0, shard 1 … ┘
 */

static int generate(struct round *r, uint32_t shard)
{
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_GENERATE, "part.%u", shard);

    if (rc != OK)
        return rc;
    t->generate->has_shard = 1;
    t->generate->shard = shard;
    rc = round_bound(r, t, "model", "model");
    return rc == OK ? round_bound(r, t, "prompts", "prompts") : rc;
}

static int join(struct round *r)
{
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_JOIN, "%s", "");

    for (uint32_t k = 0; k < r->job->stage->sample->shards && rc == OK; k++)
        rc = round_input(r, t, "part", "part.%u.answers", k);
    return rc;
}

int unfold_sample(struct round *r)
{
    int rc = OK;

    if (r->number > 1)
        return round_output(r, "answers", slots_get(r->slots, "answers"));
    if (r->number == 1)
        return join(r);
    for (uint32_t k = 0; k < r->job->stage->sample->shards && rc == OK; k++)
        rc = generate(r, k);
    return rc;
}

static int ask_people(struct round *r)
{
    uint32_t target = r->job->stage->rank->by->people->target;
    const Output *answers = slots_bound(r->slots, r->job, "answers", 0);
    int64_t records;

    if (!answers)
        return err_set(r->e, E_MISSING, "there is nothing for its input 'answers'");
    records = fact_value(answers->facts, answers->n_facts, "records", 0);
    r->out->what = UNFOLD_PEOPLE;
    r->out->wanted = target > 0 ? target : (uint32_t)records;
    return OK;
}

int unfold_rank(struct round *r)
{
    bool people = r->job->stage->rank->by->kind_case == RANK_BY__KIND_PEOPLE;
    TaskSpec *t;
    int rc;

    if (people ? round_has(r, "rankings") : r->number > 0)
        return round_output(r, "rankings", slots_get(r->slots, "rankings"));
    if (people)
        return ask_people(r);
    rc = round_task(r, &t, TASK_SPEC__KIND_RANK, "%s", "");
    if (rc == OK)
        rc = round_rubric(r, &t->rank->rubric);
    if (rc == OK)
        rc = round_bound(r, t, "answers", "answers");
    return rc == OK ? round_bound(r, t, "rankings", "rankings") : rc;
}

/* ---- evaluate ---- */

static int score(struct round *r, uint32_t model, uint32_t shard)
{
    static const char *const ports[] = { "reference", "reward_model", "prompts", "text",
        "outside" };
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_SCORE, "score.%u.%u", model, shard);

    if (rc != OK)
        return rc;
    t->score->has_shard = 1;
    t->score->shard = shard;
    rc = round_config(r, (ProtobufCMessage **)&t->score->evaluate);
    if (rc == OK)
        rc = round_rubric(r, &t->score->rubric);
    if (rc == OK)
        rc = round_bound_at(r, t, "model", "model", model);
    for (size_t i = 0; i < sizeof ports / sizeof *ports && rc == OK; i++)
        rc = round_bound(r, t, ports[i], ports[i]);
    return rc;
}

/* The report speaks of models by name: the only names that a task knows. */
static int name_models(struct round *r, ReportTask *k)
{
    const struct plan_job *job = r->job;
    bool no_memory = false;

    free(k->reference);
    k->reference = NULL;
    k->models = calloc(job->n_bindings, sizeof *k->models);
    for (size_t i = 0; i < job->n_bindings && k->models && !no_memory; i++) {
        const struct binding *b = &job->bindings[i];
        char **name = strcmp(b->port, "model") == 0       ? &k->models[k->n_models]
                      : strcmp(b->port, "reference") == 0 ? &k->reference
                                                          : NULL;
        if (!name)
            continue;
        *name = strdup(b->name);
        no_memory = !*name;
        k->n_models += name == &k->models[k->n_models] && *name;
    }
    return no_memory || !k->models ? err_set(r->e, E_NOMEM, "out of memory") : OK;
}

static int report(struct round *r, uint32_t models, uint32_t shards)
{
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_REPORT, "%s", "");

    if (rc == OK)
        rc = name_models(r, t->report);
    if (rc == OK)
        rc = round_config(r, (ProtobufCMessage **)&t->report->evaluate);
    for (uint32_t m = 0; m < models && rc == OK; m++)
        for (uint32_t k = 0; k < shards && rc == OK; k++)
            rc = round_input(r, t, "scores", "score.%u.%u.scores", m, k);
    return rc;
}

int unfold_evaluate(struct round *r)
{
    uint32_t models = (uint32_t)round_ports(r, "model"), shards = r->job->stage->evaluate->shards;
    int rc = OK;

    if (r->number > 1)
        return round_output(r, "report", slots_get(r->slots, "report"));
    if (r->number == 1)
        return report(r, models, shards);
    for (uint32_t m = 0; m < models && rc == OK; m++)
        for (uint32_t k = 0; k < shards && rc == OK; k++)
            rc = score(r, m, k);
    return rc;
}
