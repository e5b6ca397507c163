#ifndef PIPELINES_KINDS_H
#define PIPELINES_KINDS_H

#include "proto/message.h"

/* The kinds of stages, one row each: what goes in, what comes out, how it unfolds. */

/* What goes from one job to another. */
enum content {
    CONTENT_FILES,
    CONTENT_TOKENIZER,
    CONTENT_MODEL,        /* a checkpoint that continues text */
    CONTENT_REWARD_MODEL, /* a checkpoint that gives scores */
    CONTENT_ANSWERS,
    CONTENT_RANKINGS,
    CONTENT_REPORT,
    CONTENTS
};
const char *content_words(enum content c); /* "a tokenizer" */

struct port {
    const char *name;  /* in bindings and slots: "init" */
    const char *field; /* of the stage's kind: "init_from".
                          NULL: the tokenizer of what the port `init` is bound to */
    const char *inner; /* of the message in that field; or NULL */
    enum content takes;
    bool optional;
    bool inherits; /* left out, it is that of the nearest stage that the model comes from */
    /* Whether the stage as configured has any use for it; NULL: always. */
    bool (*used)(const Stage *s);
};

struct output {
    const char *name;
    enum content gives;
};

#define PORTS_MAX 7
#define OUTPUTS_MAX 3

struct round;

struct kind {
    const char *name;
    Stage__KindCase number;
    struct port ports[PORTS_MAX];       /* a name of NULL ends them */
    struct output outputs[OUTPUTS_MAX]; /* likewise */
    struct {
        const char *field, *inner;
    } rubric;     /* names a rubric file; or NULL */
    bool numeric; /* its results depend on the numeric class */
    int (*unfold)(struct round *r);
};

/* NULL: of no kind. */
const struct kind *kind_of(const Stage *s);
const struct kind *kind_numbered(Stage__KindCase number);

/* The message with the kind's fields; the stage must have a kind. */
ProtobufCMessage *stage_config(const Stage *s);

/* The names that a port's field holds: borrows, *n may be 0. `single`: the field takes one. */
char *const *port_names(
    size_t *n, bool *single, const ProtobufCMessage *config, const struct port *p);
bool port_used(const Stage *s, const struct port *p);
const struct port *port_named(const struct kind *k, const char *name);

/* The path of the rubric file that the stage names; NULL: none. */
const char *stage_rubric(const Stage *s);

/* Makes every name of a stage or a file in the message empty: what is left decides the results. */
int config_clear_names(ProtobufCMessage *config, const struct kind *k, struct err *e);

/* The kind's first output of this content, or NULL. */
const struct output *output_giving(const struct kind *k, enum content c);
const struct output *output_named(const struct kind *k, const char *name);

#endif
