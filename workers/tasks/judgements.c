#include "workers/tasks/judgements.h"

#include <stdlib.h>

#include "workers/tasks/losses.h"

int judgements_add(struct judgements *j, const Scored *x, struct err *e)
{
    if (j->n == j->room) {
        size_t room = j->room ? 2 * j->room : 256;
        struct judged *p = realloc(j->items, room * sizeof *p);
        if (!p)
            return err_set(e, E_NOMEM, "no memory for %zu answers", room);
        j->items = p;
        j->room = room;
    }
    j->items[j->n] = (struct judged){
        .prompt = x->prompt_index,
        .place = j->n,
        .known = { [MEASURE_RIGHT] = x->has_right,
            [MEASURE_ANSWERS] = x->has_answers,
            [MEASURE_GOLD] = x->has_gold,
            [MEASURE_REWARD] = x->has_reward,
            [MEASURE_KL] = x->has_kl,
            [MEASURE_LENGTH] = true,
            [MEASURE_ENDED] = true,
            [MEASURE_REPETITION] = true },
        .value = { [MEASURE_RIGHT] = x->right,
            [MEASURE_ANSWERS] = x->answers,
            [MEASURE_GOLD] = x->gold,
            [MEASURE_REWARD] = x->reward,
            [MEASURE_KL] = x->kl,
            [MEASURE_LENGTH] = x->length,
            [MEASURE_ENDED] = x->answer ? x->answer->ended : 0,
            [MEASURE_REPETITION] = x->repetition },
    };
    j->n++;
    return OK;
}

void judgements_free(struct judgements *j)
{
    free(j->items);
    free(j->of_prompt);
    *j = (struct judgements){ 0 };
}

/* The answers to the prompt of item `at` end before the item returned. */
static size_t prompt_end(const struct judgements *j, size_t at)
{
    size_t end = at;

    while (end < j->n && j->items[end].prompt == j->items[at].prompt)
        end++;
    return end;
}

size_t judgements_prompts(const struct judgements *j)
{
    size_t prompts = 0;

    for (size_t at = 0; at < j->n; at = prompt_end(j, at))
        prompts++;
    return prompts;
}

static int by_prompt(const void *a, const void *b)
{
    const struct judged *x = a, *y = b;

    return x->prompt != y->prompt ? (x->prompt > y->prompt) - (x->prompt < y->prompt)
                                  : (x->place > y->place) - (x->place < y->place);
}

int judgements_sort(struct judgements *j, struct err *e)
{
    if (j->n > 0)
        qsort(j->items, j->n, sizeof *j->items, by_prompt);
    free(j->of_prompt);
    j->of_prompt = calloc(judgements_prompts(j) + 1, sizeof *j->of_prompt);
    return j->of_prompt ? OK : err_set(e, E_NOMEM, "no memory for %zu answers", j->n);
}

/* ---- one value for each prompt, then their mean and its interval ---- */

bool judgements_mean(double *mean, double *ci95, const struct judgements *j, enum measure m)
{
    size_t prompts = 0;

    for (size_t at = 0, end; at < j->n; at = end) {
        double sum = 0, n = 0;
        end = prompt_end(j, at);
        for (size_t i = at; i < end; i++) {
            sum += j->items[i].known[m] ? j->items[i].value[m] : 0;
            n += j->items[i].known[m];
        }
        if (n > 0)
            j->of_prompt[prompts++] = sum / n;
    }
    mean_ci95(mean, ci95, j->of_prompt, prompts);
    return prompts > 0;
}

bool judgements_win(double *mean, double *ci95, const struct judgements *a,
    const struct judgements *b, enum measure m)
{
    size_t prompts = 0;

    for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
        size_t i_end = prompt_end(a, i), k_end = prompt_end(b, k);
        uint32_t p = a->items[i].prompt, q = b->items[k].prompt;
        double won = 0, n = 0;
        for (size_t x = i; x < i_end && p == q; x++) {
            for (size_t y = k; y < k_end; y++) {
                double d = a->items[x].value[m] - b->items[y].value[m];
                bool both = a->items[x].known[m] && b->items[y].known[m];
                won += both ? (d > 0) + .5 * (d == 0) : 0;
                n += both;
            }
        }
        if (n > 0)
            a->of_prompt[prompts++] = won / n;
        i = p <= q ? i_end : i;
        k = q <= p ? k_end : k;
    }
    mean_ci95(mean, ci95, a->of_prompt, prompts);
    return prompts > 0;
}

/* ---- best of k ---- */

static int by_reward(const void *a, const void *b)
{
    const struct judged *x = *(const struct judged *const *)a,
                        *y = *(const struct judged *const *)b;
    double d = x->value[MEASURE_REWARD] - y->value[MEASURE_REWARD];

    return d < 0 ? -1 : d > 0 ? 1 : (x->place > y->place) - (x->place < y->place);
}

/* The i-th of n answers, from the worst, is the best of C(i - 1, k - 1) of the C(n, k) choices. */
static double best_of(const struct judged *const *sorted, size_t n, size_t k, enum measure m)
{
    double weight = (double)k / (double)n, sum = 0;

    for (size_t i = n; i >= k; i--) {
        sum += weight * sorted[i - 1]->value[m];
        weight *= i > 1 ? (double)(i - k) / (double)(i - 1) : 0;
    }
    return sum;
}

bool judgements_best(
    double *mean, double *ci95, const struct judgements *j, enum measure m, size_t k)
{
    const struct judged *sorted[JUDGED_MAX];
    size_t prompts = 0;

    for (size_t at = 0, end; at < j->n; at = end) {
        size_t n = 0;
        end = prompt_end(j, at);
        for (size_t i = at; i < end && n < JUDGED_MAX; i++)
            if (j->items[i].known[MEASURE_REWARD] && j->items[i].known[m])
                sorted[n++] = &j->items[i];
        qsort(sorted, n, sizeof *sorted, by_reward);
        if (n >= k && k > 0)
            j->of_prompt[prompts++] = best_of(sorted, n, k, m);
    }
    mean_ci95(mean, ci95, j->of_prompt, prompts);
    return prompts > 0;
}
