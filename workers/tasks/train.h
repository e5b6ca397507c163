#ifndef WORKERS_TASKS_TRAIN_H
#define WORKERS_TASKS_TRAIN_H

#include "workers/tasks/choice.h"
#include "workers/tasks/run.h"
#include "workers/tasks/memory.h"
#include "workers/tasks/optimizer.h"
#include "workers/tasks/rows.h"
#include "workers/tasks/task.h"
#include "workers/tasks/token_stream.h"

/* The one training loop. A stage is a row of `objectives`: where its batches come from, and its
 * loss. What is kept from segment to segment is the networks, the average and the counters; it is
 * the TRAINING_STATE artifact, and warm or cold the bits are the same.
 *
 *     open ─► [ batch ─► loss (forward + backward) ─► step ]* ─► state | checkpoint
 */
struct trainer;
struct estimator; /* experience.h */

struct objective {
    const char *name;
    /* Reads what the spec names; sets total, the room of rows and mix, segment's length. */
    int (*open)(struct trainer *t, const TaskSpec *spec, struct err *e);
    /* Fills rows (and mix) for step t->counters.step. */
    int (*batch)(struct trainer *t, struct err *e);
    /* Adds the gradients of one micro-batch of rows, tokens from token0 of rows on. */
    int (*loss)(
        struct trainer *t, const struct batch *b, size_t token0, size_t sequence0, struct err *e);
    /* After a step. May be NULL. */
    int (*stepped)(struct trainer *t, struct err *e);
    /* After the last step of the segment: metrics, and PPO's coefficient. May be NULL. */
    int (*finish)(struct trainer *t, struct answer *out, struct err *e);
    /* Learning rate of this step, of a peak. */
    double (*rate)(const struct trainer *t, double peak);
    bool eps_outside; /* of AdamW's bias correction */
    bool averaged;    /* keeps an exponential moving average, if the task has one, and exports it */
    bool has_value;   /* trains a critic */
    const struct estimator *estimator; /* of advantages, in practice; or NULL */
};

/* Sums over the steps that a report is about. */
struct tally {
    double loss, weight; /* loss x weight, weight */
    double value_loss, kl, score, reward, entropy, clipped, value_clipped, approx_kl, tokens;
    double predicted, actions; /* answers' tokens; what is clipped: tokens or answers */
    double pairs, right, chosen, rejected, episodes, ended, length, repetition, gold, golds;
    uint64_t steps;
};

struct trainer {
    const struct task_context *c;
    const TrainTask *task;
    uint64_t seed;
    const struct objective *objective;
    bool averages; /* an average is kept */
    bool apart;    /* the critic is a network of its own; else a head of the policy */
    struct network policy, value;
    float *average; /* of the policy's weights; laid out like its gradient */
    float *best;    /* those that a reward model chose so far, likewise; NULL: none chooses */
    struct memory_need need;
    struct id tokenizer;
    int32_t end_of_text;
    TrainingCounters counters;
    CurvePoint *curve; /* what practice has come to, iteration by iteration */
    size_t n_curve;
    /* for this segment: */
    uint64_t stop;
    struct rows rows, mix;
    uint32_t *starts; /* scratch for rows_micro */
    int32_t *target;  /* scratch, in tokens of the largest micro-batch */
    float *log_prob, *g, *entropy, *value_out, *value_g;
    size_t micro_tokens;       /* of the largest micro-batch: what the workspaces hold */
    unsigned mode;             /* of the workspaces */
    struct dropout dropout;    /* of the micro-batch */
    struct choice *choice;     /* NULL: the last weights are the result */
    struct token_stream *text; /* LM's rows, or what is mixed in; NULL: none */
    size_t mix_windows;        /* added to each step */
    float mix_weight;          /* of all of them together */
    struct source *source;     /* the objective's own data */
    void (*source_free)(struct source *s);
    struct tally tally;
    double bytes_per_token; /* 0: not known */
};

extern const struct objective objective_lm, objective_answers, objective_ranking, objective_ppo,
    objective_rloo, objective_grpo, objective_dpo;

/* rate of the supervised objectives: warm-up from 0 over warmup_steps, then the schedule. */
double rate_by_step(const struct trainer *t, double peak);

/* For objectives: opens the spec's `tokens` inputs, if any. */
int trainer_open_text(struct trainer *t, const TaskSpec *spec, struct err *e);
/* Cross-entropy of a micro-batch of the policy: adds the gradient of -sum weight x log_prob. */
int trainer_lm_loss(struct trainer *t, const struct batch *b, const int32_t *target,
    const float *weight, struct err *e);
/* INVARIANT  Mask weights sum to the token count: `predicted` targets of weight `sum` / predicted
 * each. E_INVARIANT names it, and the step. */
int trainer_check_mask(
    const struct trainer *t, const struct rows *r, size_t predicted, double sum, struct err *e);
/* Adds the step's share of pretraining windows to mix. */
int trainer_mix(struct trainer *t, struct err *e);

/* A rollout's models may stay for the next one, if there is room beside the training as far as its
 * need is known; other trainings need none. */
void trainer_make_room(struct trainer *t);

/* training_state.c; E_TOO_LARGE, with the numbers, before networks that do not fit are made */
int trainer_init(struct trainer *t, const TaskSpec *spec, struct err *e); /* first segment */
int trainer_load(struct trainer *t, const TaskSpec *spec, const struct id *state, struct err *e);
uint64_t trainer_state_bytes(struct trainer *t); /* of a state that is saved */
int trainer_save_state(struct trainer *t, struct answer *out, struct err *e);
int trainer_save_checkpoint(struct trainer *t, struct answer *out, struct err *e);
/* Adds a point to the curve; it goes with every state and the checkpoint. */
int trainer_draw(struct trainer *t, const CurvePoint *p, struct err *e);
void trainer_drop_workspaces(struct trainer *t);
void trainer_free(struct trainer *t); /* what is kept from segment to segment */

#endif
