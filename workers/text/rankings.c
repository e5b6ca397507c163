#include "workers/text/documents_int.h"

#include <stdlib.h>
#include <string.h>

struct reading {
    uint64_t *count;
    int (*each)(void *ctx, Ranking *r, struct err *e);
    void *ctx;
};

static int no_memory(struct err *e)
{
    return err_set(e, E_NOMEM, "out of memory");
}

/* ---- answers and tiers ---- */

/* An empty answer is a bad answer, but it is one. */
static int add_answer(Ranking *r, const struct json *v, const char *key, struct err *e)
{
    size_t n;
    const char *text = v ? json_text(v, &n) : NULL;
    Answer *a;

    if (!text)
        return err_set(e, E_INPUT, "'%s' holds what is no string", key);
    a = malloc(sizeof *a);
    if (!a)
        return no_memory(e);
    answer__init(a);
    a->has_ended = 1;
    a->ended = 1;
    a->text = strdup(text);
    r->answers[r->n_answers++] = a;
    return a->text ? OK : no_memory(e);
}

/* A tier with room for n answers, still empty. */
static Tier *add_tier(Ranking *r, size_t n)
{
    Tier *tier = malloc(sizeof *tier);

    if (!tier)
        return NULL;
    tier__init(tier);
    r->tiers[r->n_tiers++] = tier;
    tier->answers = malloc((n + 1) * sizeof *tier->answers);
    return tier->answers ? tier : NULL;
}

static int reserve(Ranking *r, size_t answers, size_t tiers, struct err *e)
{
    r->answers = calloc(answers + 1, sizeof(Answer *));
    r->tiers = calloc(tiers + 1, sizeof(Tier *));
    return r->answers && r->tiers ? OK : no_memory(e);
}

/* Every answer is better than the next. */
static int add_strict_tiers(Ranking *r, struct err *e)
{
    for (size_t i = 0; i < r->n_answers; i++) {
        Tier *tier = add_tier(r, 1);
        if (!tier)
            return no_memory(e);
        tier->answers[tier->n_answers++] = (uint32_t)i;
    }
    return OK;
}

/* ---- the three shapes ---- */

static int add_list(
    Ranking *r, const struct json *list, const char *key, size_t tiers, struct err *e)
{
    size_t n;
    int rc;

    if (!list || json_kind(list) != JSON_ARRAY_)
        return err_set(e, E_INPUT, "'%s' is no list of answers", key);
    n = json_size(list);
    rc = reserve(r, n, tiers, e);
    for (size_t i = 0; rc == OK && i < n; i++)
        rc = add_answer(r, json_at(list, i), key, e);
    return rc;
}

static int read_best_to_worst(Ranking *r, const struct json *record, struct err *e)
{
    const struct json *output = json_get(record, "output");
    int rc = add_list(r, output, "output", json_size(output), e);

    return rc == OK ? add_strict_tiers(r, e) : rc;
}

static int read_chosen_rejected(Ranking *r, const struct json *record, struct err *e)
{
    int rc = reserve(r, 2, 2, e);

    if (rc == OK)
        rc = add_answer(r, json_get(record, "chosen"), "chosen", e);
    if (rc == OK)
        rc = add_answer(r, json_get(record, "rejected"), "rejected", e);
    return rc == OK ? add_strict_tiers(r, e) : rc;
}

static int read_tier(Ranking *r, const struct json *list, bool *seen, struct err *e)
{
    size_t n = json_size(list);
    Tier *tier = add_tier(r, n);

    if (!tier)
        return no_memory(e);
    if (n == 0 || json_kind(list) != JSON_ARRAY_)
        return err_set(e, E_INPUT, "tier %zu is no list of answers", r->n_tiers);
    for (size_t i = 0; i < n; i++) {
        double d = json_number(json_at(list, i), -1);
        if (!(d >= 0 && d < (double)r->n_answers) || d != (double)(uint32_t)d)
            return err_set(
                e, E_INPUT, "tier %zu: there are answers 0 to %zu", r->n_tiers, r->n_answers - 1);
        if (seen[(uint32_t)d])
            return err_set(e, E_INPUT, "answer %u is ranked twice", (uint32_t)d);
        seen[(uint32_t)d] = true;
        tier->answers[tier->n_answers++] = (uint32_t)d;
    }
    return OK;
}

static int read_tiers(Ranking *r, const struct json *record, struct err *e)
{
    const struct json *tiers = json_get(record, "tiers");
    size_t n = json_size(tiers), ranked = 0;
    bool *seen = NULL;
    int rc = add_list(r, json_get(record, "answers"), "answers", n, e);

    if (rc != OK)
        return rc;
    if (json_kind(tiers) != JSON_ARRAY_)
        return err_set(e, E_INPUT, "'tiers' is no list");
    seen = calloc(r->n_answers + 1, sizeof *seen);
    rc = seen ? OK : no_memory(e);
    for (size_t i = 0; rc == OK && i < n; i++) {
        rc = read_tier(r, json_at(tiers, i), seen, e);
        ranked += rc == OK ? r->tiers[i]->n_answers : 0;
    }
    if (rc == OK && ranked < 2)
        rc = err_set(e, E_INPUT, "fewer than two answers are ranked");
    free(seen);
    return rc;
}

/* A shape is known by the field that only it has. */
static const struct shape {
    const char *key;
    int (*read)(Ranking *r, const struct json *record, struct err *e);
} shapes[] = {
    { "tiers", read_tiers },
    { "chosen", read_chosen_rejected },
    { "output", read_best_to_worst },
};

static int read_answers(Ranking *r, const struct json *record, struct err *e)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (json_get(record, shapes[i].key)) {
            int rc = shapes[i].read(r, record, e);
            if (rc == OK && r->n_answers < 2)
                rc = err_set(e, E_INPUT, "a ranking needs at least two answers");
            return rc;
        }
    }
    return err_set(
        e, E_INPUT, "no field 'output' (a list, best first), 'chosen' and 'rejected', or 'tiers'");
}

/* ---- files ---- */

static int read_record(void *ctx, const struct json *record, struct err *e)
{
    const struct reading *reading = ctx;
    Ranking *r = malloc(sizeof *r);
    int rc = r ? OK : no_memory(e);

    if (rc == OK) {
        ranking__init(r);
        r->source = strdup("file");
        rc = r->source ? OK : no_memory(e);
    }
    if (rc == OK)
        rc = prompt_from_record(&r->prompt, record, *reading->count + 1, e);
    if (rc == OK)
        rc = read_answers(r, record, e);
    if (rc == OK) {
        ++*reading->count;
        return reading->each(reading->ctx, r, e);
    }
    message_free(r);
    return rc;
}

int rankings_read(const char *path, struct span bytes, uint64_t *count,
    int (*each)(void *ctx, Ranking *r, struct err *e), void *ctx, struct err *e)
{
    struct reading r = { count, each, ctx };
    struct source s;
    int rc = source_open(&s, path, bytes, e);

    if (rc != OK)
        return rc;
    rc = source_records(&s, read_record, &r, e);
    source_close(&s);
    return rc;
}

static int read_file(void *ctx, const char *path, struct span bytes, struct err *e)
{
    const struct reading *r = ctx;

    return rankings_read(path, bytes, r->count, r->each, r->ctx, e);
}

int rankings_each(struct store *s, const struct id *files,
    int (*each)(void *ctx, Ranking *r, struct err *e), void *ctx, struct err *e)
{
    uint64_t count = 0;
    struct reading r = { &count, each, ctx };
    int rc = files_each(s, files, ARTIFACT_KIND__FILES, read_file, &r, e);

    return rc > 0 ? OK : rc;
}
