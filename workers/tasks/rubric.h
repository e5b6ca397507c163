#ifndef WORKERS_TASKS_RUBRIC_H
#define WORKERS_TASKS_RUBRIC_H

#include "proto/message.h"

/* The stand-in for people: what an answer to a prompt is worth. Pure. */
struct judgement {
    bool right;    /* holds an accepted answer, and does not ask back */
    bool answers;  /* says something and does not ask back */
    bool language; /* in the prompt's language */
    bool ends, brief;
    double gold; /* weighted sum, and the rules' scores */
};
/* `text` is what the answer says: without its end token. */
struct judgement rubric_judge(const Rubric *r, const Prompt *p, const char *text, bool ended);

/* Whether the rubric has anything to say of answers to this prompt: it has rules, or the prompt
 * accepted answers. */
bool rubric_applies(const Rubric *r, const Prompt *p);

/* Share of the text's 4-grams of characters that occurred before in it; 0 when it has none. */
double repetition(const char *text);

#endif
