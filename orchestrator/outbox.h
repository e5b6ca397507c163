#ifndef ORCHESTRATOR_OUTBOX_H
#define ORCHESTRATOR_OUTBOX_H

#include "proto/log.h"
#include "proto/socket.h"

/* What is to be said at the end of this turn, once the journal is committed; and what is worth a
 * line in the daemon's own log. */
struct letter {
    struct peer to;
    Envelope *m; /* owned */
};
struct notice {
    enum log_level level;
    char run[260], job[260], task[ID_HEX], worker[68]; /* "": not known */
    uint32_t attempt;
    char text[512];
};
struct outbox {
    struct letter *letters;
    size_t n_letters, cap_letters;
    struct notice *notices;
    size_t n_notices;
    uint64_t turn; /* counts outbox_clear */
};

/* A letter that more can be added to as long as its turn goes on. */
struct open_letter {
    uint64_t turn;
    size_t at; /* 0: none */
};
/* Of what was put last. */
struct open_letter outbox_last(const struct outbox *o);
/* NULL: its turn is over. */
Envelope *outbox_open(const struct outbox *o, const struct open_letter *l);

/* A new envelope of that kind around `body`, which is taken, even on failure. */
int outbox_put(struct outbox *o, const struct peer *to, uint64_t request, Envelope__KindCase kind,
    void *body, struct err *e);

/* More than 64 in a turn are dropped. */
void outbox_notice(struct outbox *o, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Copies what it is about. */
void outbox_tell(struct outbox *o, enum log_level level, const struct log_about *about,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void notice_about(const struct notice *n, struct log_about *out); /* borrows from n */

void outbox_clear(struct outbox *o); /* keeps its room */
void outbox_free(struct outbox *o);

#endif
