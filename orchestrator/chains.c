#include "orchestrator/roots.h"
#include "orchestrator/runs.h"

/* A job's chain moves on: links that nothing can start from any more leave the store, once it is
 * durable that nothing will. */

static bool holds(Output *const *items, size_t n, const struct id *id)
{
    struct id other;

    for (size_t i = 0; i < n; i++)
        if (id_from_span(&other, items[i]->id.data, items[i]->id.len) && id_equal(&other, id))
            return true;
    return false;
}

static bool audited(const JobRecord *j, const struct id *id)
{
    struct id link;

    for (size_t i = 0; i < j->n_audits; i++)
        for (size_t k = 0; k < j->audits[i]->n_links; k++)
            if (id_from_span(&link, j->audits[i]->links[k].data, j->audits[i]->links[k].len) &&
                id_equal(&link, id))
                return true;
    return false;
}

/* It has been answered, and waits for the rest of its round. */
static bool answered(const struct round *r, const struct id *id)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->answers[i] && holds(r->answers[i]->outputs, r->answers[i]->n_outputs, id))
            return true;
    return false;
}

/* Another job may have come to the same link, and stand there still. */
static bool wanted(const struct orchestrator *o, const struct id *id)
{
    for (const struct run_book *r = o->books; r; r = r->next)
        for (size_t i = 0; i < r->plan->n_jobs; i++) {
            const JobRecord *j = r->jobs[i].record;
            if (audited(j, id) || answered(&r->jobs[i].round, id) ||
                holds(j->outputs, j->n_outputs, id) ||
                (r->jobs[i].job->state != JOB_DONE && holds(j->slots, j->n_slots, id)))
                return true;
        }
    return false;
}

int chain_moves(struct orchestrator *o, const Output *left, struct err *e)
{
    struct id id;

    if (!is_link(left->kind) || !id_from_span(&id, left->id.data, left->id.len))
        return OK;
    return id_set_add(&o->left, &id, e);
}

int chain_ends(struct orchestrator *o, const struct job_book *b, struct err *e)
{
    const JobRecord *r = b->record;
    int rc = OK;

    for (size_t i = 0; i < r->n_slots && rc == OK; i++)
        rc = chain_moves(o, r->slots[i], e);
    return rc;
}

void chains_sweep(struct orchestrator *o)
{
    for (size_t i = 0; i < o->left.n; i++)
        if (!wanted(o, &o->left.ids[i]))
            sweeper_take(o->sweeper, &o->left.ids[i]);
    o->left.n = 0;
}
