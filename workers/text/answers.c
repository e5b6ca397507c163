#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/text/shape_int.h"

int answers_new(Ranking **out, size_t n, struct err *e)
{
    Ranking *r = malloc(sizeof *r);

    if (!r)
        return err_set(e, E_NOMEM, "out of memory");
    ranking__init(r);
    r->source = strdup("file");
    r->answers = calloc(n + 1, sizeof(Answer *));
    r->tiers = calloc(n + 1, sizeof(Tier *));
    if (!r->source || !r->answers || !r->tiers) {
        message_free(r);
        return err_set(e, E_NOMEM, "out of memory");
    }
    *out = r;
    return OK;
}

/* An empty answer is a bad answer, but it is one. */
int answers_add(Ranking *r, const char *text, struct err *e)
{
    Answer *a = malloc(sizeof *a);

    if (!a)
        return err_set(e, E_NOMEM, "out of memory");
    answer__init(a);
    a->has_ended = 1;
    a->ended = 1;
    a->text = strdup(text);
    r->answers[r->n_answers++] = a;
    return a->text ? OK : err_set(e, E_NOMEM, "out of memory");
}

static int add_tier(Ranking *r, const double *keys, double key, struct err *e)
{
    Tier *tier = malloc(sizeof *tier);

    if (!tier)
        return err_set(e, E_NOMEM, "out of memory");
    tier__init(tier);
    r->tiers[r->n_tiers++] = tier;
    tier->answers = malloc((r->n_answers + 1) * sizeof *tier->answers);
    if (!tier->answers)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < r->n_answers; i++)
        if (keys[i] == key)
            tier->answers[tier->n_answers++] = (uint32_t)i;
    return OK;
}

int answers_rank(Ranking *r, const double *keys, struct err *e)
{
    double below = -INFINITY;
    int rc = OK;

    for (;;) {
        double next = INFINITY;
        for (size_t i = 0; i < r->n_answers; i++)
            if (keys[i] > below && keys[i] < next)
                next = keys[i];
        if (next == INFINITY || rc != OK)
            return rc;
        rc = add_tier(r, keys, next, e);
        below = next;
    }
}
