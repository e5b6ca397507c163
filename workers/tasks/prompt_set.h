#ifndef WORKERS_TASKS_PROMPT_SET_H
#define WORKERS_TASKS_PROMPT_SET_H

#include "workers/model/generator.h"
#include "workers/tasks/task.h"
#include "workers/text/intake.h"
#include "workers/text/tokenizer.h"

/* The prompts of a FILES artifact as a model reads them: end-of-text, then the template's form.
 * Prompts that leave no room for `room` answer tokens in the context are left out and counted. */
struct prompt_set {
    size_t n, dropped;
    Prompt **prompts;
    struct ids *tokens;    /* of each */
    struct intake *intake; /* what became of the file's records; NULL: there is no file */
};

/* limit: at most so many are kept; 0: all. E_INPUT when none is left. */
int prompt_set_load(struct prompt_set *out, const struct task_context *c, const struct id *files,
    const struct model *m, size_t room, size_t limit, struct err *e);
/* Adds one prompt of a single user turn; copies. */
int prompt_set_add_text(struct prompt_set *p, const struct tokenizer *t, const char *id,
    const char *text, struct err *e);
void prompt_set_free(struct prompt_set *p);

#define GENERATION_SLOTS 64 /* sequences that decode together */

/* Generator options that all tasks share: stop tokens of the tokenizer, slots, seed. */
struct generator_options generator_options_for(
    const struct tokenizer *t, uint64_t seed, uint32_t step, size_t max_new);

/* Bans what must never be shown: padding and role marks. Not for rollouts: what a policy samples
 * there is what it is trained on. */
void generator_ban_specials(struct generator_options *o, const struct tokenizer *t);

#endif
