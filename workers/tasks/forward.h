#ifndef WORKERS_TASKS_FORWARD_H
#define WORKERS_TASKS_FORWARD_H

#include "workers/model/generator.h"
#include "workers/tasks/answer.h"
#include "workers/tasks/memory.h"

/* The account of memory of a task that trains nothing: its models are named and admitted before one
 * of them is loaded; then its work, when the prompts are known and before it begins. What the
 * executor keeps of tasks before is counted, or dropped where there is no room for it.
 *
 *     start ─► [ model | made ]* ─► packed? ─► admit ─► (models are loaded) ─► [ work ]* ─► metric
 */
#define FORWARD_MODELS 4

struct forward {
    const struct task_context *c;
    struct memory_need need;
    struct forward_model {
        struct id id;
        const char *prefix; /* NULL: made by the task, or its own */
        ModelConfig config;
    } models[FORWARD_MODELS];
    size_t n;
    bool packs; /* the weights of models[0], which answers */
    enum precision precision;
    bool scores; /* all models score those answers */
};

/* what: of the error, "a rollout". Borrows c. */
void forward_start(struct forward *f, const struct task_context *c, const char *what);
/* warm_model will be asked for it; one that is named twice counts once. */
int forward_model(struct forward *f, const struct id *id, const char *prefix, struct err *e);
/* The task loads or makes it, and owns it. The configuration is checked. */
void forward_made(struct forward *f, const ModelConfig *c);
/* warm_panels will be asked for those of the first model. */
void forward_packs(struct forward *f, Precision precision);
/* E_TOO_LARGE, with the numbers, when the models do not fit. Nothing that warm gave may be in use.
 */
int forward_admit(struct forward *f, struct err *e);

/* Work that is over before the next begins: of all that is told, the largest counts. E_TOO_LARGE,
 * with the numbers, when it does not fit. batch: bytes of what is held of the answers. */
int forward_answers(struct forward *f, const struct generation *g, size_t n,
    const struct generator_options *o, uint64_t batch, struct err *e);
/* Every model scores n sequences, of so many tokens in all, the longest of so many. */
int forward_scoring(struct forward *f, size_t n, size_t tokens, size_t longest, struct err *e);
/* Every model scores a ranking's answers. */
int forward_ranked(struct forward *f, const RankingExample *x, struct err *e);
/* Tells people that so much is done. Nonzero: stop. */
int forward_tell(const struct forward *f, size_t done, size_t total);
/* memory_mib */
int forward_metric(const struct forward *f, struct answer *out, struct err *e);

#endif
