#ifndef WORKERS_TASKS_JUDGEMENTS_H
#define WORKERS_TASKS_JUDGEMENTS_H

#include "proto/message.h"

/* What was measured of every answer of one stage, and what follows from it. The answers to one
 * prompt depend on each other, so intervals take prompts as what was drawn: 1.96 standard errors of
 * the mean over prompts. Sums run in the order of prompts, then of arrival: pure. */

#define JUDGED_MAX 1024 /* answers to one prompt that judgements_best looks at */

enum measure {
    MEASURE_RIGHT,
    MEASURE_ANSWERS,
    MEASURE_GOLD,
    MEASURE_REWARD,
    MEASURE_KL,
    MEASURE_LENGTH,
    MEASURE_ENDED,
    MEASURE_REPETITION,
    MEASURES
};

struct judged {
    uint32_t prompt;
    size_t place; /* in the order of arrival */
    bool known[MEASURES];
    double value[MEASURES];
};

/* Zero-initialise; judgements_free when done. */
struct judgements {
    struct judged *items;
    size_t n, room;
    double *of_prompt; /* room for a value of each prompt */
};

int judgements_add(struct judgements *j, const Scored *x, struct err *e);
void judgements_free(struct judgements *j);

/* By prompt, those of a prompt in the order in which they came. Once, before what follows. */
int judgements_sort(struct judgements *j, struct err *e);

size_t judgements_prompts(const struct judgements *j);

/* Mean over prompts of the mean over their answers. False: nothing is known. */
bool judgements_mean(double *mean, double *ci95, const struct judgements *j, enum measure m);

/* Chance that an answer of a has more of m than one of b to the same prompt; a tie counts half.
 * False: they share no prompt. */
bool judgements_win(double *mean, double *ci95, const struct judgements *a,
    const struct judgements *b, enum measure m);

/* Mean of m of the one of k answers that has the highest reward, over all choices of k among a
 * prompt's answers (Nakano et al. 2021, app. I: unbiased). Prompts with less than k are left out;
 * false: all were. */
bool judgements_best(
    double *mean, double *ci95, const struct judgements *j, enum measure m, size_t k);

#endif
