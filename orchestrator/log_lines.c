#include "orchestrator/log_lines.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "orchestrator/run_record.h"

#define REPLY_LINES 2000
#define REPLY_BYTES (700u << 10)

struct reading {
    const LogsRequest *request;
    LogsReply *reply;
    size_t bytes, limit;
};

static int take_line(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct reading *r = ctx;
    LogLine *line = (LogLine *)m, **p;
    const char *job = r->request->job;
    size_t size = 64 + (line->text ? strlen(line->text) : 0) + (line->job ? strlen(line->job) : 0);
    bool backwards = r->request->tail > 0;

    (void)key;
    if (line->number <= r->request->after ||
        (job && *job && (!line->job || strcmp(line->job, job)))) {
        bool end = backwards && line->number <= r->request->after;
        message_free(m);
        return end;
    }
    if (r->reply->n_lines >= r->limit || r->bytes + size > REPLY_BYTES) {
        message_free(m);
        return 1;
    }
    p = field_grow(r->reply->lines, r->reply->n_lines, sizeof *p, e);
    if (!p) {
        message_free(m);
        return e->code;
    }
    r->reply->lines = p;
    p[r->reply->n_lines++] = line;
    r->bytes += size;
    return OK;
}

static void reverse(LogLine **lines, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        LogLine *swap = lines[i];
        lines[i] = lines[n - 1 - i];
        lines[n - 1 - i] = swap;
    }
}

int log_lines_read(LogsReply **out, struct state_txn *t, const LogsRequest *q, struct err *e)
{
    struct reading r = { .request = q, .reply = malloc(sizeof *r.reply), .limit = REPLY_LINES };
    RunRecord *run = NULL;
    int rc;

    if (!r.reply)
        return err_set(e, E_NOMEM, "out of memory");
    logs_reply__init(r.reply);
    if (q->tail > 0 && q->tail < r.limit)
        r.limit = q->tail;
    rc = run_record_find(&run, t, q->run, e);
    if (rc == OK)
        rc = state_each(t, STATE_LOG, key_numbers(1, run->number, 0, 0), q->tail > 0,
            &log_line__descriptor, take_line, &r, e);
    message_free(run);
    if (rc < OK) {
        message_free(r.reply);
        return rc;
    }
    if (q->tail > 0)
        reverse(r.reply->lines, r.reply->n_lines);
    r.reply->has_next = true;
    r.reply->next = r.reply->n_lines ? r.reply->lines[r.reply->n_lines - 1]->number : q->after;
    *out = r.reply;
    return OK;
}
