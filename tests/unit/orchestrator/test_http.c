#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "orchestrator/web/http.h"

/* Whatever is sent to it, the next honest request is answered. */

static struct http *server;
static pthread_t thread;
static int stop_fd;

static void get_hello(void *ctx, struct http_answer *out)
{
    (void)ctx;
    assert_int_equal(buf_printf(&out->body, "hello\n"), OK);
}

static void *run(void *unused)
{
    struct err e = ERR_INIT;

    http_run(server, stop_fd, &e);
    return unused;
}

static int set_up(void **unused)
{
    static const struct http_route routes[] = { { "/hello", get_hello } };
    struct err e = ERR_INIT;

    (void)unused;
    stop_fd = eventfd(0, 0);
    if (http_open(&server, "127.0.0.1:0", routes, 1, NULL, &e) != OK)
        return -1;
    return pthread_create(&thread, NULL, run, NULL);
}

static int tear_down(void **unused)
{
    uint64_t one = 1;

    (void)unused;
    if (write(stop_fd, &one, sizeof one) != sizeof one)
        return -1;
    pthread_join(thread, NULL);
    http_close(server);
    close(stop_fd);
    return 0;
}

static int dial(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    struct timeval patience = { .tv_sec = 60 }; /* the server's own, 10 s, four times over */
    unsigned port;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(sscanf(http_url(server), "http://127.0.0.1:%u/", &port), 1);
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* Sends as much as is taken, reads to the end; *out malloc'ed, "" when it was hung up. */
static char *ask(const void *request, size_t n)
{
    char *answer = calloc(1, 65536);
    int fd = dial();
    size_t got = 0;
    ssize_t more = 1;

    for (size_t sent = 0; sent < n && more > 0; sent += (size_t)more)
        more = send(fd, (const char *)request + sent, n - sent, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (got < 65000 && (more = recv(fd, answer + got, 65000 - got, 0)) > 0)
        got += (size_t)more;
    close(fd);
    return answer;
}

static void check(const char *request, const char *want)
{
    char *answer = ask(request, strlen(request));

    if (!strstr(answer, want))
        print_message("%.200s: %.300s\n", request, answer);
    assert_non_null(strstr(answer, want));
    free(answer);
}

#define HEAD " HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: close\r\n"
#define HELLO "GET /hello" HEAD "\r\n"

static void known_page_is_read_and_no_other(void **unused)
{
    (void)unused;
    check(HELLO, "\r\n\r\nhello\n");
    check(HELLO, "Content-Security-Policy: default-src 'none'");
    check("HEAD /hello" HEAD "\r\n", "Content-Length: 6");
    check("GET /hello?a=b%00" HEAD "\r\n", "hello");
    check("GET /" HEAD "\r\n", "404");
    check("GET /../../etc/passwd" HEAD "\r\n", "404");
    check("GET /%2e%2e/hello" HEAD "\r\n", "404");
}

static void nothing_can_be_written(void **unused)
{
    (void)unused;
    check("POST /hello" HEAD "Content-Length: 3\r\n\r\nabc", "405");
    check("DELETE /hello" HEAD "\r\n", "Allow: GET, HEAD");
    check("PUT /hello" HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "405");
}

static void page_of_another_host_cannot_read_through_a_browser(void **unused)
{
    (void)unused;
    check("GET /hello HTTP/1.1\r\nHost: evil.example:8080\r\nConnection: close\r\n\r\n", "421");
    check("GET /hello HTTP/1.1\r\nHost: 127.evil.example\r\nConnection: close\r\n\r\n", "421");
    check(
        "GET /hello HTTP/1.1\r\nHost: localhost.evil.example\r\nConnection: close\r\n\r\n", "421");
    check("GET /hello HTTP/1.1\r\nHost: localhost:80\r\nConnection: close\r\n\r\n", "hello");
    check("GET /hello HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n", "hello");
    check("GET /hello HTTP/1.0\r\n\r\n", "421");
}

static void nonsense_does_no_harm(void **unused)
{
    static const char *const requests[] = { "", "\r\n\r\n", "GET", "GET /hello HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00", "GET /hello" HEAD "Content-Length: -1\r\n\r\n",
        "GET /hello" HEAD "Content-Length: 99999999999999999999999\r\n\r\n",
        "POST /hello" HEAD "Content-Length: 1000000000\r\n\r\nx",
        "POST /hello" HEAD "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        "GET /hello" HEAD " folded\r\n: empty\r\n\x01\x02: x\r\n\r\n" };

    (void)unused;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        free(ask(requests[i], strlen(requests[i])));
    check(HELLO, "hello");
}

static void long_heads_are_refused_within_their_bound(void **unused)
{
    size_t n = (size_t)4 << 20;
    char *long_one = malloc(n);

    (void)unused;
    memset(long_one, 'a', n);
    memcpy(long_one, "GET /", 5);
    free(ask(long_one, n));
    memcpy(long_one, "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: ", 42);
    free(ask(long_one, n));
    free(long_one);
    check(HELLO, "hello");
}

/* As many connections as it takes, none of which says anything, and one that asks behind them: who
 * hangs up lets it in, and nobody's patience runs out meanwhile. */
static void one_too_many_waits_until_another_leaves(void **unused)
{
    int fds[64], last;
    char answer[4096] = "";

    (void)unused;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 64; i++)
            fds[i] = dial();
        last = dial();
        assert_int_equal(send(last, HELLO, strlen(HELLO), MSG_NOSIGNAL), strlen(HELLO));
        for (int i = 0; i < 64; i++)
            close(fds[i]);
        assert_true(recv(last, answer, sizeof answer - 1, 0) > 0);
        close(last);
    }
}

/* More connections than it takes, none of which says anything, and then they hang up. */
static void silent_connections_are_bounded(void **unused)
{
    int fds[200];

    (void)unused;
    for (int i = 0; i < 200; i++)
        fds[i] = dial();
    for (int i = 0; i < 200; i++)
        close(fds[i]);
    check(HELLO, "hello");
}

static void address_that_is_none_is_refused(void **unused)
{
    static const char *const bad[] = { "", ":", "8080", "host:1", "127.0.0.1",
        "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "[::1:80", "::1:80", "300.0.0.1:1" };
    struct err e = ERR_INIT;
    struct http *h = NULL;

    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(http_open(&h, bad[i], NULL, 0, NULL, &e), E_INPUT);
    assert_null(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_page_is_read_and_no_other),
        cmocka_unit_test(nothing_can_be_written),
        cmocka_unit_test(page_of_another_host_cannot_read_through_a_browser),
        cmocka_unit_test(nonsense_does_no_harm),
        cmocka_unit_test(long_heads_are_refused_within_their_bound),
        cmocka_unit_test(one_too_many_waits_until_another_leaves),
        cmocka_unit_test(silent_connections_are_bounded),
        cmocka_unit_test(address_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
