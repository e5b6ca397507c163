#ifndef PROTO_ERR_H
#define PROTO_ERR_H

/* Errors: every fallible function returns OK or a negative code and takes a struct err last.
 * The lowest layer sets the message, each layer above adds one clause in front. Libraries
 * never log; whoever handles the error does. */
enum {
    OK = 0,
    E_NOMEM = -1,
    E_IO = -2,         /* the operating system refused: file, socket, disk full, map full */
    E_CORRUPT = -3,    /* stored bytes are not what was written */
    E_PROTOCOL = -4,   /* a peer's message is malformed or out of place */
    E_CANCELLED = -5,  /* asked to stop */
    E_INPUT = -6,      /* a person's file or option is wrong: the message says where */
    E_MISSING = -7,    /* no such artifact, run, job, … */
    E_INVARIANT = -8,  /* an invariant of the learning does not hold */
    E_BUSY = -9,       /* someone else holds it */
    E_TOO_LARGE = -10, /* needs more memory than there is: another attempt would, too */
};

struct err {
    int code;
    char msg[2048];
};

#define ERR_INIT ((struct err){ 0 })

/* Sets code and message; returns code. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts one clause and ": " in front of the message; returns e->code. Cuts at a UTF-8 boundary. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* err_set(E_IO) with strerror(errno) as the last clause. */
int err_errno(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
