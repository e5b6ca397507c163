#ifndef WORKERS_TASKS_SAMPLED_H
#define WORKERS_TASKS_SAMPLED_H

#include "workers/tasks/forward.h"
#include "workers/tasks/prompt_set.h"

/* Sampled answers to the prompts shard, shard + shards, … of a set, `each` for a prompt. What is
 * sampled for a prompt does not depend on how the set is cut into shards. */
struct sampled {
    size_t n, each;
    size_t *prompt;       /* index into the set, of each of n */
    Answer **answers;     /* n x each */
    struct generation *g; /* n x each: prompt and tokens as ids */
    int32_t *tokens;
};

/* m: the account's first model. E_TOO_LARGE when there is no room for the answers. */
int sampled_make(struct sampled *out, struct forward *f, const struct model *m,
    const struct tokenizer *t, const struct prompt_set *set, size_t shard, size_t shards,
    size_t each, const struct generator_options *o, struct err *e);
void sampled_free(struct sampled *s);

/* The text of ids, cut at a character's end; end tokens give nothing. malloc'ed. */
char *text_of(const struct tokenizer *t, const int32_t *ids, size_t n, struct err *e);

#endif
