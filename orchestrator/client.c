#include "orchestrator/client.h"

#include <stdlib.h>

#include "proto/clock.h"

struct client {
    struct net *net;
    struct socket *socket;
    uint64_t request; /* the last one's number */
};

int client_open(struct client **out, const char *url, struct err *e)
{
    struct client *c = calloc(1, sizeof *c);
    int rc = c ? net_new(&c->net, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = socket_connect(&c->socket, c->net, url, NULL, e);
    if (rc != OK) {
        client_close(c);
        return rc;
    }
    *out = c;
    return OK;
}

void client_close(struct client *c)
{
    if (!c)
        return;
    if (c->socket)
        socket_free(c->socket);
    if (c->net)
        net_free(c->net);
    free(c);
}

/* A refusal's exit code as an error; e->msg is what the orchestrator said. */
static int refused(const Refused *r, struct err *e)
{
    static const struct {
        int exit, code;
    } rows[] = { { 2, E_MISSING }, { 65, E_INPUT }, { 74, E_IO } };
    int code = E_INPUT;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (r->code == rows[i].exit)
            code = rows[i].code;
    return err_set(e, code, "%s", r->message ? r->message : "refused");
}

/* The reply to this client's last request; replies to earlier ones, given up, are dropped. */
static int await(struct client *c, Envelope **reply, int64_t deadline, struct err *e)
{
    for (;;) {
        int64_t left = deadline - clock_ms();
        bool ready = false;
        int rc = socket_poll(&c->socket, 1, NULL, 0, &ready, left > 0 ? left : 0, e);
        if (rc != OK)
            return rc;
        if (!ready && left <= 0)
            return err_set(e, E_IO, "no answer from the orchestrator at %s", socket_url(c->socket));
        for (Envelope *m = NULL; rc == OK; m = NULL) {
            rc = socket_receive(c->socket, NULL, &m, e);
            if (rc != OK)
                return rc;
            if (!m)
                break;
            if (m->request == c->request) {
                *reply = m;
                return OK;
            }
            message_free(m);
        }
    }
}

int client_ask(struct client *c, Envelope *m, Envelope **reply, int64_t timeout_ms, struct err *e)
{
    int64_t deadline = clock_ms() + timeout_ms;
    Envelope *answer = NULL;
    int rc;

    m->has_request = true;
    m->request = ++c->request;
    rc = socket_send(c->socket, NULL, m, e);
    if (rc == OK)
        rc = await(c, &answer, deadline, e);
    if (rc == OK && answer->kind_case == ENVELOPE__KIND_REFUSED) {
        rc = refused(answer->refused, e);
        message_free(answer);
    }
    if (rc == OK)
        *reply = answer;
    return rc;
}
