#include "orchestrator/broker.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "proto/log.h"
#include "proto/task.h"
#include "store/store.h"
#include "tests/unit/orchestrator/home.h"

/* Hostile peers of a real daemon, over its real tcp socket: each is refused with one line in its
 * log, and it stays up, answers others, and stays within its memory. */

#define FLOOD 1000           /* connections */
#define GROWTH (64ull << 20) /* bytes */
#define PATIENCE_MS 20000

struct scene {
    char *home;
    pid_t pid;
    int stop; /* closing it stops the daemon */
    unsigned port;
    size_t resident; /* of the daemon before anybody came */
    struct client *client;
    struct net *net;
    struct socket *liar;
};

static char *log_text(const struct scene *c)
{
    char path[512], *text = NULL;
    struct err e = ERR_INIT;
    size_t n;

    snprintf(path, sizeof path, "%s/log", c->home);
    assert_int_equal(file_read(&text, &n, path, 1 << 24, &e), OK);
    return text;
}

static int lines_with(const struct scene *c, const char *part)
{
    char *text = log_text(c);
    int n = 0;

    for (const char *at = text; (at = strstr(at, part)); at++)
        n++;
    free(text);
    return n;
}

/* Lines of a flood are counted behind its end. */
static void wait_line(const struct scene *c, const char *part)
{
    for (int ms = 0; lines_with(c, part) == 0; ms += 10) {
        assert_in_range(ms, 0, PATIENCE_MS);
        poll(NULL, 0, 10);
    }
}

/* The most that it ever had. */
static size_t resident(const struct scene *c)
{
    char path[64], line[256];
    size_t kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)c->pid);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %zu", &kib) == 1)
            break;
    fclose(f);
    return kib << 10;
}

static void daemon_in_child(const char *home, int stop, int ready)
{
    struct daemon_options o = { home, "tcp://127.0.0.1:*", stop, ready };
    struct err e = ERR_INIT;
    char path[512];

    snprintf(path, sizeof path, "%s/log", home);
    dup2(open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
    log_setup("orchestrator", LOG_INFO);
    _exit(daemon_run(&o, &e) == OK ? 0 : 1);
}

static int set_up(void **at)
{
    struct scene *c = calloc(1, sizeof *c);
    int stop[2], ready[2];
    char url[HOME_URL], byte, *text;
    struct err e = ERR_INIT;

    c->home = home_new();
    assert_int_equal(pipe(stop), 0);
    assert_int_equal(pipe(ready), 0);
    c->pid = fork();
    if (c->pid == 0) {
        close(stop[1]);
        daemon_in_child(c->home, stop[0], ready[1]);
    }
    close(stop[0]);
    close(ready[1]);
    c->stop = stop[1];
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    text = log_text(c);
    const char *said = strstr(text, "listening on tcp://127.0.0.1:");
    assert_non_null(said);
    assert_int_equal(sscanf(said, "listening on tcp://127.0.0.1:%u", &c->port), 1);
    free(text);
    assert_int_equal(home_url(url, c->home, &e), OK);
    assert_int_equal(client_open(&c->client, url, &e), OK);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", c->port);
    assert_int_equal(net_new(&c->net, &e), OK);
    assert_int_equal(socket_connect(&c->liar, c->net, url, NULL, &e), OK);
    c->resident = resident(c);
    *at = c;
    return 0;
}

/* It stops when it is told to, and that cleanly: it is in order. */
static int tear_down(void **at)
{
    struct scene *c = *at;
    int status = -1;

    client_close(c->client);
    socket_free(c->liar);
    net_free(c->net);
    close(c->stop);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    assert_int_equal(status, 0);
    home_remove(c->home);
    free(c);
    return 0;
}

/* How many workers there are, as anybody may ask: it answers. */
static size_t workers(struct scene *c)
{
    struct err e = ERR_INIT;
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    WorkersRequest q = WORKERS_REQUEST__INIT;

    m.kind_case = ENVELOPE__KIND_WORKERS_REQUEST;
    m.workers_request = &q;
    assert_int_equal(client_ask(c->client, &m, &reply, PATIENCE_MS, &e), OK);
    size_t n = reply->workers_reply->n_workers;
    message_free(reply);
    return n;
}

static void say(struct scene *c, Envelope__KindCase kind, void *body)
{
    Envelope m = ENVELOPE__INIT;
    struct err e = ERR_INIT;

    m.kind_case = kind;
    m.submit = body;
    assert_int_equal(socket_send(c->liar, NULL, &m, &e), OK);
}

/* The next thing that the liar is told. */
static Envelope__KindCase told(struct scene *c)
{
    bool ready = false;
    struct err e = ERR_INIT;
    Envelope *m = NULL;

    assert_int_equal(socket_poll(&c->liar, 1, NULL, 0, &ready, PATIENCE_MS, &e), OK);
    assert_true(ready);
    assert_int_equal(socket_receive(c->liar, NULL, &m, &e), OK);
    Envelope__KindCase kind = m->kind_case;
    message_free(m);
    return kind;
}

static void hello_as(struct scene *c, char *name)
{
    Hello h = HELLO__INIT;

    h.worker = "0123456789abcdef";
    h.name = name;
    h.host = "here";
    say(c, ENVELOPE__KIND_HELLO, &h);
}

static void beat(struct scene *c)
{
    Heartbeat h = HEARTBEAT__INIT;

    say(c, ENVELOPE__KIND_HEARTBEAT, &h);
}

static AttemptRef *some_attempt(void)
{
    static uint8_t task[32] = { 1, 2, 3 };
    static AttemptRef ref;

    attempt_ref__init(&ref);
    ref.has_task = ref.has_attempt = ref.has_epoch = true;
    ref.task = (ProtobufCBinaryData){ sizeof task, task };
    ref.attempt = 1;
    ref.epoch = 77;
    return &ref;
}

static void name_of_a_megabyte_is_refused(void **at)
{
    struct scene *c = *at;
    char *name = malloc(1000001);

    memset(name, 'x', 1000000);
    name[1000000] = '\0';
    hello_as(c, name);
    free(name);
    beat(c); /* comes behind it; a stranger is asked who it is */
    assert_int_equal(told(c), ENVELOPE__KIND_CHALLENGE);
    assert_int_equal(workers(c), 0);
    assert_int_equal(lines_with(c, "ignored a message: hello: name: has 1000000 bytes"), 1);
    assert_true(resident(c) < c->resident + GROWTH);
}

static void progress_beyond_its_total_is_refused(void **at)
{
    struct scene *c = *at;
    Progress p = PROGRESS__INIT;

    hello_as(c, "liar");
    assert_int_equal(told(c), ENVELOPE__KIND_WELCOME);
    p.attempt = some_attempt();
    p.has_done = p.has_total = true;
    p.done = 11;
    p.total = 10;
    say(c, ENVELOPE__KIND_PROGRESS, &p);
    beat(c);
    assert_int_equal(told(c), ENVELOPE__KIND_HEARTBEAT_ACK);
    assert_int_equal(workers(c), 1);
    assert_int_equal(lines_with(c, "done is more than total"), 1);
}

static void answer_to_what_nobody_asked_is_dropped_and_acknowledged(void **at)
{
    struct scene *c = *at;
    Result r = RESULT__INIT;
    TaskAnswer a = TASK_ANSWER__INIT;

    hello_as(c, "liar");
    assert_int_equal(told(c), ENVELOPE__KIND_WELCOME);
    r.attempt = some_attempt();
    r.kind_case = RESULT__KIND_ANSWER;
    r.answer = &a;
    say(c, ENVELOPE__KIND_RESULT, &r);
    assert_int_equal(told(c), ENVELOPE__KIND_RESULT_ACK); /* or it would tell it for ever */
    assert_int_equal(workers(c), 1);
}

static void bytes_that_are_no_message_are_ignored(void **at)
{
    struct scene *c = *at;
    Hello h = HELLO__INIT; /* without a single field */

    say(c, ENVELOPE__KIND_HELLO, &h);
    beat(c);
    assert_int_equal(told(c), ENVELOPE__KIND_CHALLENGE);
    assert_int_equal(workers(c), 0);
    assert_int_equal(lines_with(c, "ignored a message: "), 1);
}

static void flood_of_bad_messages_is_a_few_lines(void **at)
{
    struct scene *c = *at;
    Hello h = HELLO__INIT;

    for (int i = 0; i < FLOOD / 2; i++) /* fewer than the queue holds */
        say(c, ENVELOPE__KIND_HELLO, &h);
    beat(c);
    assert_int_equal(told(c), ENVELOPE__KIND_CHALLENGE);
    wait_line(c, "more messages");
    assert_in_range(lines_with(c, "ignored "), 2, 10); /* two if they came within a second */
}

/* ---- below the messages ---- */

static int connection(const struct scene *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)c->port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void put(int fd, const void *p, size_t n)
{
    assert_int_equal(write(fd, p, n), (ssize_t)n);
}

/* Waits for the end of its connection. */
static void announce_a_tebibyte(const struct scene *c)
{
    /* ZMTP 3.0 (rfc.zeromq.org/spec/23): greeting, READY, a long frame of 2^40 bytes */
    static const uint8_t greeting[64] = { 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0, 'N', 'U', 'L',
        'L' };
    static const uint8_t hello[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                                   "DEALER";
    static const uint8_t huge[] = { 2, 0, 0, 1, 0, 0, 0, 0, 0 };
    char rest[4096];
    int fd = connection(c);
    ssize_t n;

    put(fd, greeting, sizeof greeting);
    put(fd, hello, sizeof hello - 1);
    put(fd, huge, sizeof huge);
    while ((n = read(fd, rest, sizeof rest)) > 0) /* its greeting, and then its end */
        ;
    close(fd);
}

static void frame_that_says_a_tebibyte_ends_its_connection(void **at)
{
    struct scene *c = *at;

    announce_a_tebibyte(c);
    wait_line(c, "above the limit");
    assert_int_equal(workers(c), 0);
    assert_int_equal(lines_with(c, "refused "), 1);
    assert_true(resident(c) < c->resident + GROWTH);
}

/* If it were refused, it would share the line of the one that comes after it. */
static void who_leaves_after_a_message_is_not_refused(void **at)
{
    struct scene *c = *at;
    struct net *net = NULL;
    struct socket *guest = NULL, *liar = c->liar;
    struct err e = ERR_INIT;
    char url[64];

    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", c->port);
    assert_int_equal(net_new(&net, &e), OK);
    assert_int_equal(socket_connect(&guest, net, url, NULL, &e), OK);
    c->liar = guest;
    beat(c);
    assert_int_equal(told(c), ENVELOPE__KIND_CHALLENGE);
    c->liar = liar;
    socket_free(guest);
    net_free(net);
    announce_a_tebibyte(c);
    wait_line(c, "above the limit");
    assert_int_equal(lines_with(c, "refused 2 in"), 0);
}

/* It waits for an end that must come. */
static void says(const struct scene *c, const char *bytes, size_t n)
{
    int fd = connection(c);
    char rest[4096];

    put(fd, bytes, n);
    while (read(fd, rest, sizeof rest) > 0)
        ;
    close(fd);
}

static void who_speaks_another_protocol_is_refused(void **at)
{
    struct scene *c = *at;
    /* a greeting of ZMTP 3 whose mechanism nobody has */
    static const char greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\0WHAT";

    says(c, greeting, sizeof greeting);
    wait_line(c, "one has a key and the other has none");
    assert_int_equal(lines_with(c, "refused "), 1);
    assert_int_equal(workers(c), 0);
}

/* How many were refused, by the lines that say it. */
static int refused(const struct scene *c)
{
    char *text = log_text(c);
    int n, sum = 0;

    for (const char *at = text; (at = strstr(at, "refused ")); at++)
        sum += sscanf(at, "refused %d in", &n) == 1 ? n : 1;
    free(text);
    return sum;
}

static void flood_of_half_open_connections_leaves_room_for_others(void **at)
{
    struct scene *c = *at;
    int fds[FLOOD];

    for (int i = 0; i < FLOOD; i++) {
        fds[i] = connection(c);
        /* else their ports would be taken for a minute after the end */
        setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
        put(fds[i], "\xff", i % 2); /* some begin to speak */
    }
    hello_as(c, "honest");
    assert_int_equal(told(c), ENVELOPE__KIND_WELCOME);
    assert_int_equal(workers(c), 1);
    assert_true(resident(c) < c->resident + GROWTH);
    for (int i = 0; i < FLOOD; i++)
        close(fds[i]);
    beat(c);
    assert_int_equal(told(c), ENVELOPE__KIND_HEARTBEAT_ACK);
    while (refused(c) < FLOOD) {
        assert_int_equal(workers(c), 1);
        poll(NULL, 0, 10);
    }
    assert_int_equal(refused(c), FLOOD);
    assert_in_range(lines_with(c, "refused "), 1, 4); /* one if it was handled within a second */
}

#define HOSTILE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOSTILE(name_of_a_megabyte_is_refused),
        HOSTILE(progress_beyond_its_total_is_refused),
        HOSTILE(answer_to_what_nobody_asked_is_dropped_and_acknowledged),
        HOSTILE(bytes_that_are_no_message_are_ignored),
        HOSTILE(flood_of_bad_messages_is_a_few_lines),
        HOSTILE(frame_that_says_a_tebibyte_ends_its_connection),
        HOSTILE(who_leaves_after_a_message_is_not_refused),
        HOSTILE(who_speaks_another_protocol_is_refused),
        HOSTILE(flood_of_half_open_connections_leaves_room_for_others),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
