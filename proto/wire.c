#include "proto/wire.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/message_int.h"
#include "proto/utf8.h"
#include "proto/wire_int.h"

/* What holds for every field that has no rule of its own. */
#define TEXT_MAX 65536  /* bytes of a string */
#define COUNT_MAX 65536 /* values of a repeated field */
#define ID_BYTES 32     /* of every bytes field: all are ids */

/* The rules by their types: chains of numbers from 1. */
#define BUCKETS 512
#define RULES_MAX 1024
static uint16_t first_rule[BUCKETS], next_rule[RULES_MAX + 1];

static size_t bucket(const ProtobufCMessageDescriptor *type)
{
    return (uintptr_t)type / sizeof *type % BUCKETS;
}

static void index_rules(void)
{
    assert(wire_n_rules <= RULES_MAX);
    for (size_t i = wire_n_rules; i-- > 0;) {
        uint16_t *first = &first_rule[bucket(wire_rules[i].type)];
        next_rule[i + 1] = *first;
        *first = (uint16_t)(i + 1);
    }
}

static const struct rule *rule_of(const ProtobufCMessageDescriptor *type, const char *field)
{
    for (size_t i = first_rule[bucket(type)]; i > 0; i = next_rule[i])
        if (wire_rules[i - 1].type == type && strcmp(wire_rules[i - 1].field, field) == 0)
            return &wire_rules[i - 1];
    return NULL;
}

static bool limited(const struct rule *rule)
{
    return rule && (rule->min != 0 || rule->max != 0);
}

static int check_number(double value, const struct rule *rule, struct err *e)
{
    if (!isfinite(value))
        return err_set(e, E_PROTOCOL, "is not finite");
    if (limited(rule) && (value < rule->min || value > rule->max))
        return err_set(e, E_PROTOCOL, "is %g, not from %g to %g", value, rule->min, rule->max);
    return OK;
}

static int check_text(const char *text, const struct rule *rule, struct err *e)
{
    size_t n = strlen(text), most = TEXT_MAX;

    if (limited(rule))
        most = (size_t)rule->max;
    if (n > most || (limited(rule) && n < (size_t)rule->min))
        return err_set(e, E_PROTOCOL, "has %zu bytes", n);
    if (!utf8_valid(text, n))
        return err_set(e, E_PROTOCOL, "is not UTF-8");
    return OK;
}

static int check_value(
    const ProtobufCFieldDescriptor *f, const void *value, const struct rule *rule, struct err *e)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return check_number(*(const int32_t *)value, rule, e);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return check_number((double)*(const int64_t *)value, rule, e);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return check_number(*(const uint32_t *)value, rule, e);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return check_number((double)*(const uint64_t *)value, rule, e);
    case PROTOBUF_C_TYPE_FLOAT:
        return check_number(*(const float *)value, rule, e);
    case PROTOBUF_C_TYPE_DOUBLE:
        return check_number(*(const double *)value, rule, e);
    case PROTOBUF_C_TYPE_BOOL:
        return OK;
    case PROTOBUF_C_TYPE_ENUM:
        if (!protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int32_t *)value))
            return err_set(e, E_PROTOCOL, "is unknown: %d", *(const int32_t *)value);
        return OK;
    case PROTOBUF_C_TYPE_STRING:
        return check_text(*(char *const *)value, rule, e);
    case PROTOBUF_C_TYPE_BYTES:
        if (((const ProtobufCBinaryData *)value)->len != ID_BYTES)
            return err_set(e, E_PROTOCOL, "is no id of 32 bytes");
        return OK;
    case PROTOBUF_C_TYPE_MESSAGE:
        return wire_check(*(ProtobufCMessage *const *)value, e);
    }
    return OK;
}

static int check_count(size_t n, const struct rule *rule, struct err *e)
{
    size_t most = limited(rule) ? (size_t)rule->max : COUNT_MAX;

    if (n > most || (rule && rule->required && n == 0))
        return err_set(e, E_PROTOCOL, "has %zu values", n);
    return OK;
}

static int check_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, struct err *e)
{
    const struct rule *rule = rule_of(m->descriptor, f->name);
    bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
    size_t n = field_count(m, f);
    int rc = OK;

    if (repeated) {
        rc = check_count(n, rule, e);
        rule = NULL; /* it was about the count */
    } else if (n == 0 && rule && rule->required) {
        rc = err_set(e, E_PROTOCOL, "is missing");
    }
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = check_value(f, field_at(m, f, i), rule, e);
    if (rc == OK)
        return OK;
    return err_wrap(e, "%s", f->name);
}

int wire_check(const ProtobufCMessage *m, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int rc = OK;

    pthread_once(&once, index_rules);
    /* Both ends speak the same version, so nothing can be new; and a task of which a part is not
     * understood must not be run. */
    if (message_has_oneof(m->descriptor) && !message_member(m))
        return err_set(e, E_PROTOCOL, "of no known kind");
    if (m->n_unknown_fields > 0)
        return err_set(e, E_PROTOCOL, "has an unknown field");
    for (unsigned i = 0; i < m->descriptor->n_fields && rc == OK; i++)
        rc = check_field(m, &m->descriptor->fields[i], e);
    for (size_t i = 0; i < wire_n_relations && rc == OK; i++)
        if (wire_relations[i].type == m->descriptor)
            rc = wire_relations[i].check(m, e);
    return rc;
}

int wire_decode(Envelope **out, const void *p, size_t n, struct err *e)
{
    ProtobufCMessage *m;
    Envelope *envelope;
    int rc;

    if (n > FRAME_MAX)
        return err_set(e, E_PROTOCOL, "a frame of %zu bytes", n);
    rc = message_unpack(&m, &envelope__descriptor, p, n, e);
    if (rc != OK)
        return rc;
    envelope = (Envelope *)m;
    if (!envelope->has_version || envelope->version != PROTOCOL_VERSION)
        rc = err_set(e, E_PROTOCOL, "the peer speaks protocol version %u, not %u",
            (unsigned)envelope->version, PROTOCOL_VERSION);
    else
        rc = wire_check(m, e);
    if (rc != OK)
        message_free(m);
    else
        *out = envelope;
    return rc;
}

int wire_encode(struct buf *out, Envelope *m, struct err *e)
{
    size_t n;

    m->has_version = 1;
    m->version = PROTOCOL_VERSION;
    n = envelope__get_packed_size(m);
    if (n > FRAME_MAX)
        return err_set(e, E_PROTOCOL, "a message of %zu bytes is too long to be sent", n);
    if (message_pack(out, &m->base) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    return OK;
}

static void wait_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    poll(&p, 1, -1);
}

/* Reads n bytes; *got < n only at the end of the stream. */
static int read_all(int fd, void *p, size_t n, size_t *got, struct err *e)
{
    *got = 0;
    while (*got < n) {
        ssize_t r = read(fd, (char *)p + *got, n - *got);
        if (r == 0)
            return OK;
        if (r > 0)
            *got += (size_t)r;
        else if (errno == EAGAIN)
            wait_for(fd, POLLIN);
        else if (errno != EINTR)
            return err_errno(e, "cannot read a message");
    }
    return OK;
}

/* A reader that is gone is an error, not a signal. */
static ssize_t write_some(int fd, const void *p, size_t n)
{
    ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

    return w < 0 && errno == ENOTSOCK ? write(fd, p, n) : w;
}

static int write_all(int fd, const char *p, size_t n, struct err *e)
{
    while (n > 0) {
        ssize_t w = write_some(fd, p, n);
        if (w > 0) {
            p += w;
            n -= (size_t)w;
        } else if (w < 0 && errno == EAGAIN) {
            wait_for(fd, POLLOUT);
        } else if (w < 0 && errno != EINTR) {
            return err_errno(e, "cannot write a message");
        }
    }
    return OK;
}

int wire_read(Envelope **out, int fd, struct err *e)
{
    uint8_t head[4];
    uint32_t n;
    size_t got;
    void *frame;
    int rc = read_all(fd, head, sizeof head, &got, e);

    if (rc != OK)
        return rc;
    if (got == 0) {
        *out = NULL;
        return OK;
    }
    if (got < sizeof head)
        return err_set(e, E_PROTOCOL, "the stream ends within a message");
    n = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
    if (n > FRAME_MAX)
        return err_set(e, E_PROTOCOL, "a frame of %u bytes", (unsigned)n);
    frame = malloc(n ? n : 1);
    if (!frame)
        return err_set(e, E_NOMEM, "out of memory");
    rc = read_all(fd, frame, n, &got, e);
    if (rc == OK && got < n)
        rc = err_set(e, E_PROTOCOL, "the stream ends within a message");
    if (rc == OK)
        rc = wire_decode(out, frame, n, e);
    free(frame);
    return rc;
}

int wire_write(int fd, Envelope *m, struct err *e)
{
    struct buf b = { 0 };
    uint8_t head[4] = { 0 };
    int rc = OK;

    if (buf_add(&b, head, sizeof head) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        rc = wire_encode(&b, m, e);
    if (rc == OK) {
        size_t n = b.n - sizeof head;
        for (int i = 0; i < 4; i++)
            b.p[i] = (char)(n >> 8 * i & 0xff);
        rc = write_all(fd, b.p, b.n, e);
    }
    buf_free(&b);
    return rc;
}
