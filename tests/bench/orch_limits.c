#include "tests/bench/orch.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SYNCS 200
#define TRIPS 2000
#define BLOCK ((size_t)1 << 20)
#define STREAM ((size_t)512 << 20)

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* ---- the disk ---- */

static int measure_syncs(struct limits *l, const char *folder, struct err *e)
{
    char path[300], block[4096] = { 1 };
    double spent[SYNCS];

    snprintf(path, sizeof path, "%s/syncs", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc = fd >= 0 ? OK : err_errno(e, "'%s'", path);
    for (int i = -64; i < SYNCS && rc == OK; i++) { /* the first 64 make the file */
        double began = seconds();
        if (pwrite(fd, block, sizeof block, (i + 64) % 64 * (off_t)sizeof block) != sizeof block ||
            fdatasync(fd) != 0)
            rc = err_errno(e, "writing '%s'", path);
        if (i >= 0)
            spent[i] = seconds() - began;
    }
    if (fd >= 0)
        close(fd);
    unlink(path);
    if (rc == OK)
        l->sync = median(spent, SYNCS);
    return rc;
}

int raw_open(struct raw *r, const char *folder, size_t n, struct err *e)
{
    *r = (struct raw){ .fd = -1, .n = n };
    snprintf(r->path, sizeof r->path, "%s/raw", folder);
    r->fd = open(r->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (r->fd < 0 || ftruncate(r->fd, (off_t)n) != 0)
        return err_errno(e, "'%s'", r->path);
    void *map = mmap(NULL, n, PROT_READ, MAP_SHARED, r->fd, 0);
    if (map == MAP_FAILED)
        return err_errno(e, "mapping '%s'", r->path);
    r->map = map;
    return OK;
}

int raw_write(double *took, const struct raw *r, const void *from, struct err *e)
{
    const char *p = from;
    double began = seconds();

    for (size_t at = 0; at < r->n; at += BLOCK)
        if (pwrite(r->fd, p + at, BLOCK, (off_t)at) != (ssize_t)BLOCK)
            return err_errno(e, "writing '%s'", r->path);
    if (fsync(r->fd) != 0)
        return err_errno(e, "writing '%s'", r->path);
    *took = seconds() - began;
    return OK;
}

void raw_read(double *took, const struct raw *r, void *to)
{
    double began = seconds();

    memcpy(to, r->map, r->n);
    *took = seconds() - began;
}

void raw_close(struct raw *r)
{
    if (r->map)
        munmap(r->map, r->n);
    if (r->fd >= 0) {
        close(r->fd);
        unlink(r->path);
    }
}

static void measure_hash(struct limits *l)
{
    char *block = calloc(1, BLOCK);
    struct id id;
    double best = 1e9;

    for (int turn = 0; block && turn < 3; turn++) {
        double began = seconds();
        for (int i = 0; i < 64; i++)
            sha256(&id, block, BLOCK);
        double spent = seconds() - began;
        best = spent < best ? spent : best;
    }
    l->hash = 64 * (double)BLOCK / best;
    free(block);
}

/* ---- TCP on this host ---- */

static void *echo(void *arg)
{
    int fd = *(int *)arg;
    char *block = malloc(BLOCK);
    size_t left = STREAM;

    for (int i = 0; i < TRIPS; i++)
        if (read(fd, block, 1) != 1 || write(fd, block, 1) != 1)
            break;
    while (left > 0) {
        ssize_t n = read(fd, block, BLOCK);
        if (n <= 0)
            break;
        left -= (size_t)n;
    }
    if (write(fd, "e", 1) != 1)
        left = 0;
    free(block);
    return NULL;
}

static int connect_pair(int ends[2], struct err *e)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    int on = 1, l = socket(AF_INET, SOCK_STREAM, 0);

    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    ends[1] = -1;
    if (bind(l, (struct sockaddr *)&a, n) == 0 && listen(l, 1) == 0 &&
        getsockname(l, (struct sockaddr *)&a, &n) == 0 &&
        connect(ends[0], (struct sockaddr *)&a, n) == 0)
        ends[1] = accept(l, NULL, NULL);
    close(l);
    if (ends[1] < 0)
        return err_errno(e, "tcp");
    setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return OK;
}

static int measure_tcp(struct limits *l, struct err *e)
{
    double spent[TRIPS], began;
    char *block = calloc(1, BLOCK);
    pthread_t other;
    int ends[2], rc = block ? connect_pair(ends, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc != OK || pthread_create(&other, NULL, echo, &ends[1]) != 0) {
        free(block);
        return rc != OK ? rc : err_set(e, E_NOMEM, "no thread");
    }
    for (int i = 0; i < TRIPS && rc == OK; i++) {
        began = seconds();
        if (write(ends[0], block, 1) != 1 || read(ends[0], block, 1) != 1)
            rc = err_errno(e, "tcp");
        spent[i] = seconds() - began;
    }
    l->trip = median(spent, TRIPS);
    began = seconds();
    for (size_t left = STREAM; left > 0 && rc == OK;) {
        ssize_t n = write(ends[0], block, left < BLOCK ? left : BLOCK);
        if (n <= 0)
            rc = err_errno(e, "tcp");
        left -= n > 0 ? (size_t)n : 0;
    }
    if (rc == OK && read(ends[0], block, 1) != 1)
        rc = err_errno(e, "tcp");
    l->socket = (double)STREAM / (seconds() - began);
    close(ends[0]);
    pthread_join(other, NULL);
    close(ends[1]);
    free(block);
    return rc;
}

int limits_measure(struct limits *l, const char *folder, struct err *e)
{
    measure_hash(l);
    int rc = measure_syncs(l, folder, e);
    return rc == OK ? measure_tcp(l, e) : rc;
}
