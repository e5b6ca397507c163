#ifndef ORCHESTRATOR_CLIENT_H
#define ORCHESTRATOR_CLIENT_H

#include "proto/socket.h"

/* A client's side of the conversation: one request, one reply. */
struct client;

int client_open(struct client **out, const char *url, struct err *e);
void client_close(struct client *c);

/* Sends m, waits for the reply with its request number. A Refused becomes an error (code E_INPUT or
 * as given, its message). timeout_ms passed: E_IO "no answer from the orchestrator at URL". */
int client_ask(struct client *c, Envelope *m, Envelope **reply, int64_t timeout_ms, struct err *e);

#endif
