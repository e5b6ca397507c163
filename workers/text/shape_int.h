#ifndef WORKERS_TEXT_SHAPE_INT_H
#define WORKERS_TEXT_SHAPE_INT_H

#include "workers/text/shape.h"

/* ---- one function for each shape ---- */

int shape_text(struct shaping *x, const struct record *r, struct err *e);
int shape_poem(struct shaping *x, const struct record *r, struct err *e);
int shape_nested_text(struct shaping *x, const struct record *r, struct err *e);
int shape_answer(struct shaping *x, const struct record *r, struct err *e);
int shape_instances(struct shaping *x, const struct record *r, struct err *e);
int shape_messages(struct shaping *x, const struct record *r, struct err *e);
int shape_labelled(struct shaping *x, const struct record *r, struct err *e);
int shape_completion(struct shaping *x, const struct record *r, struct err *e);
int shape_prompt(struct shaping *x, const struct record *r, struct err *e);
int shape_tree(struct shaping *x, const struct record *r, struct err *e);
int shape_graded(struct shaping *x, const struct record *r, struct err *e);
int shape_matrix(struct shaping *x, const struct record *r, struct err *e);
int shape_tiers(struct shaping *x, const struct record *r, struct err *e);
int shape_scores(struct shaping *x, const struct record *r, struct err *e);
int shape_rated(struct shaping *x, const struct record *r, struct err *e);
int shape_votes(struct shaping *x, const struct record *r, struct err *e);
int shape_single_message(struct shaping *x, const struct record *r, struct err *e);
int shape_list(struct shaping *x, const struct record *r, struct err *e);
int shape_two(struct shaping *x, const struct record *r, struct err *e);
int shape_pair(struct shaping *x, const struct record *r, struct err *e);
int shape_pair_of_turns(struct shaping *x, const struct record *r, struct err *e);
int shape_two_dialogues(struct shaping *x, const struct record *r, struct err *e);
int shape_pair_of_dialogues(struct shaping *x, const struct record *r, struct err *e);

/* Hands on; counts. */
int shaping_give(struct shaping *x, struct conversation *c, Ranking *answers, struct err *e);
int shaping_give_text(struct shaping *x, const char *text, size_t n, struct err *e);
/* Two whole dialogues, the better one first unless they are tied: compared are their last turns,
 * which are taken away; all before them must be the same. */
int shaping_give_pair(struct shaping *x, const struct record *r, struct conversation both[2],
    bool tied, struct err *e);

/* ---- conversations ---- */

/* What the question of a record may be called, and its answer. NULL-terminated. */
extern const char *const question_names[], *const answer_names[];

void conversation_free(struct conversation *c);
int conversation_add(
    struct conversation *c, Role role, const char *text, struct err *e); /* copies */
/* The last turn goes. */
void conversation_drop(struct conversation *c);
bool conversation_equal(const struct conversation *a, const struct conversation *b);
/* {role, content}, {from, value} or, taken in turns, {message}. */
int conversation_add_message(struct conversation *c, const struct json *message, struct err *e);
int conversation_add_messages(struct conversation *c, const struct json *messages, struct err *e);
/* system?, tools?, history?, and the question with what it is about, or a dialogue. */
int conversation_add_system(struct conversation *c, const struct record *r, struct err *e);
/* "\n\nHuman: …\n\nAssistant:", or with single line ends, up to what is to be answered. */
bool is_dialogue(const char *text);
int conversation_add_dialogue(struct conversation *c, const char *text, struct err *e);
int conversation_add_question(struct conversation *c, const struct record *r, struct err *e);

/* ---- answers and tiers ---- */

/* Room for so many; *out is freed by message_free. */
int answers_new(Ranking **out, size_t n, struct err *e);
int answers_add(Ranking *r, const char *text, struct err *e); /* copies; empty ones too */
/* The tiers by a key for each answer: smaller is better, equal is a tie; NaN is not ranked. */
int answers_rank(Ranking *r, const double *keys, struct err *e);

#endif
