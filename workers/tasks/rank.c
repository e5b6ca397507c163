#include "workers/tasks/run.h"

#include <stdlib.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/rubric.h"
#include "workers/text/documents.h"

/* Answers → rankings: by a rubric with a known share of noise, or from people's files. */

static int commit(
    struct answer *out, struct records_writer *w, double ranked, double tied, struct err *e)
{
    Output *o = NULL;
    int rc = records_commit(w, "rankings", &o, e);

    if (rc == OK)
        rc = answer_output(out, o, e);
    if (rc == OK)
        rc = answer_metric(out, "rankings", ranked, e);
    if (rc == OK)
        rc = answer_metric(out, "all_tied", tied, e);
    return rc;
}

struct order {
    size_t n;
    double gold[RANKING_MAX];
    uint32_t answer[RANKING_MAX]; /* best first */
};

static void sort_by_gold(struct order *o)
{
    for (size_t i = 1; i < o->n; i++) {
        uint32_t a = o->answer[i];
        size_t k = i;
        for (; k > 0 && o->gold[o->answer[k - 1]] < o->gold[a]; k--)
            o->answer[k] = o->answer[k - 1];
        o->answer[k] = a;
    }
}

/* Equal gold is one tier. Then, with chance `noise` each, neighbouring tiers change places: a
 * labeller's slip. */
static size_t make_tiers(Tier *tiers, struct order *o, double noise, uint64_t seed, uint64_t item)
{
    size_t n = 0;

    for (size_t i = 0; i < o->n; i++) {
        if (i == 0 || o->gold[o->answer[i]] != o->gold[o->answer[i - 1]]) {
            tier__init(&tiers[n]);
            tiers[n++].answers = o->answer + i;
        }
        tiers[n - 1].n_answers++;
    }
    for (size_t i = 0; i + 1 < n; i++) {
        if (rng_uniform(seed, RNG_NOISE, (uint32_t)i, item) < noise) {
            Tier t = tiers[i];
            tiers[i] = tiers[i + 1];
            tiers[i + 1] = t;
            i++;
        }
    }
    return n;
}

static int rank_one(struct records_writer *w, const AnswerSet *s, const Rubric *r, uint64_t seed,
    uint64_t item, double *tied, struct err *e)
{
    Ranking ranking = RANKING__INIT;
    struct order o = { .n = s->n_answers };
    Tier tiers[RANKING_MAX], *pointers[RANKING_MAX];

    if (o.n == 0 || o.n > RANKING_MAX || !s->prompt)
        return err_set(e, E_INPUT, "a prompt with %zu answers cannot be ranked", o.n);
    for (size_t i = 0; i < o.n; i++) {
        o.gold[i] = rubric_judge(r, s->prompt, s->answers[i]->text, s->answers[i]->ended).gold;
        o.answer[i] = (uint32_t)i;
    }
    sort_by_gold(&o);
    ranking.n_tiers = make_tiers(tiers, &o, r->noise, seed, item);
    for (size_t i = 0; i < ranking.n_tiers; i++)
        pointers[i] = &tiers[i];
    *tied += ranking.n_tiers < 2;
    ranking.prompt = s->prompt;
    ranking.answers = s->answers;
    ranking.n_answers = s->n_answers;
    ranking.tiers = pointers;
    ranking.source = "rubric";
    ranking.gold = o.gold;
    ranking.n_gold = o.n;
    return records_add(w, &ranking.base, e);
}

static int rank_by_rubric(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct records_reader *r = NULL;
    struct records_writer *w = NULL;
    struct id answers;
    double tied = 0;
    uint64_t n = 0;
    int rc = task_input(&answers, spec, "answers", e);

    if (rc == OK)
        rc = records_open(
            &r, c->store, &answers, ARTIFACT_KIND__ANSWERS, &answer_set__descriptor, e);
    if (rc == OK)
        rc = records_create(&w, c->store, ARTIFACT_KIND__RANKINGS, e);
    while (rc == OK) {
        ProtobufCMessage *m = NULL;
        rc = records_next(r, &m, e);
        if (rc != OK || !m)
            break;
        rc = rank_one(w, (AnswerSet *)m, spec->rank->rubric, spec->seed, n++, &tied, e);
        message_free(m);
    }
    records_close(r);
    if (rc == OK)
        return commit(out, w, (double)n, tied, e);
    records_abort(w);
    return rc;
}

struct filing {
    struct intake *im;
    struct records_writer *w;
    double n, tied;
};

static int file_one(void *ctx, Ranking *r, struct err *e)
{
    struct filing *f = ctx;
    int rc = records_add(f->w, &r->base, e);

    f->n += 1;
    f->tied += r->n_tiers < 2;
    message_free(r);
    return rc;
}

static int rank_by_file(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct filing f = { 0 };
    struct id files;
    int rc = task_input(&files, spec, "rankings", e);

    if (rc == OK)
        rc = intake_new(&f.im, e);
    if (rc == OK)
        rc = records_create(&f.w, c->store, ARTIFACT_KIND__RANKINGS, e);
    if (rc == OK)
        rc = rankings_each(f.im, c->store, &files, file_one, &f, e);
    if (rc == OK && f.n == 0)
        rc = err_set(e, E_INPUT, "the file holds no rankings");
    if (rc == OK)
        rc = answer_intake(out, f.im, e);
    if (rc == OK) {
        rc = commit(out, f.w, f.n, f.tied, e);
        f.w = NULL;
    }
    intake_free(f.im);
    records_abort(f.w);
    return rc;
}

int rank_run(struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    return spec->rank->rubric ? rank_by_rubric(out, c, spec, e) : rank_by_file(out, c, spec, e);
}
