#ifndef WORKERS_TASKS_SEQUENCES_H
#define WORKERS_TASKS_SEQUENCES_H

#include "workers/tasks/scorer.h"
#include "workers/text/tokenizer.h"

/* Texts as a model reads them: end-of-text, the template's form of the prompt, the answer, its
 * end token. */

/* True for `share` of all texts, by the hash of their bytes. */
bool held_out(const void *p, size_t n, double share);

/* Tokens of an answer: as sampled when they are known, else encoded; the end token is last when
 * the answer ended (an answer of which only the text is known did). Appends. */
int answer_tokens(struct ids *out, const struct tokenizer *t, const Answer *a, struct err *e);

/* end-of-text + the template's form of the turns (none: end-of-text alone). Sets *out, which the
 * caller frees. */
int prompt_tokens(
    struct ids *out, const struct tokenizer *t, Turn *const *turns, size_t n, struct err *e);

/* Whole rows, for scoring. */
struct sequences {
    struct scored_sequence *items; /* n_answer = 0: all of a row is its prompt */
    struct ids *rows;
    size_t n;
};

/* The answers that count as good: the demonstrations of the spec, else each ranking's best. */
int sequences_good_answers(struct sequences *out, const struct task_context *c,
    const TaskSpec *spec, const struct model *m, struct err *e);
void sequences_free(struct sequences *s);

#endif
