#ifndef WORKERS_TEXT_INSPECT_H
#define WORKERS_TEXT_INSPECT_H

#include "workers/text/tokenizer.h"

/* What people's files hold, before anything is made of them: every file is read as a stage would
 * read it, broken records are left out and told. */
struct inspect_options {
    const Reading *how;
    const char *as;                    /* text, demonstrations, rankings, prompts; NULL: as it is */
    const ChatTemplate *template_;     /* records are shown as it writes them */
    const char *end_of_answer;         /* its token's text */
    const struct tokenizer *tokenizer; /* counts tokens; NULL: nobody does */
};

/* A file, or a folder with all that is in it (dot-files left out), as one input. *out is freed by
 * message_free. E_INPUT: options that say nothing; what is wrong with the files stands in *out. */
int inspect_path(
    InspectedInput **out, const char *path, const struct inspect_options *o, struct err *e);

#endif
