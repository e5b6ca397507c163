#ifndef WORKERS_TEXT_INSPECT_INT_H
#define WORKERS_TEXT_INSPECT_INT_H

#include "store/records.h"
#include "workers/text/documents_int.h"
#include "workers/text/inspect.h"
#include "workers/text/script.h"
#include "workers/text/spread.h"

#define ANSWERS_MAX 64 /* to one prompt, counted apart */

struct inspecting {
    const struct inspect_options *o;
    InspectedInput *m;                   /* in the making */
    struct intake *im, *items, *prompts; /* items, prompts: what there was before */
    enum gives gives;
    struct files_left left; /* of a folder */
    uint64_t number, languages[SCRIPTS], with_answers[ANSWERS_MAX + 1];
    struct spread documents, prompt_length, answers, turns, tokens;
};

/* What a content gives, counted; ctx: a struct inspecting. */
int inspect_document(void *ctx, const char *text, size_t n, struct err *e);
int inspect_demonstration(void *ctx, const struct conversation *c, struct err *e);
int inspect_ranking(void *ctx, Ranking *r, struct err *e);
int inspect_prompt(void *ctx, Prompt *p, struct err *e);
/* Fills in what was counted. */
int inspect_finish(struct inspecting *x, struct err *e);

/* One more (or `by` more) of what is called `name`. */
int facts_count(Fact ***facts, size_t *n, const char *name, int64_t by, struct err *e);

/* Calls each() for a file, or for all files below a folder in the order of their names; dot-files
 * and links to folders are left out, and counted. E_INPUT: there are none. */
int folder_each(const char *path, int (*each)(void *ctx, const char *path, struct err *e),
    void *ctx, struct files_left *left, struct err *e);

#endif
