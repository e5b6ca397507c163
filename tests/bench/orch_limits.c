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

static int write_whole(int fd, const char *block, size_t n, struct err *e)
{
    for (size_t at = 0; at < n; at += BLOCK)
        if (pwrite(fd, block, BLOCK, (off_t)at) != (ssize_t)BLOCK)
            return err_errno(e, "writing");
    return fsync(fd) == 0 ? OK : err_errno(e, "writing");
}

static int measure_syncs(struct limits *l, int fd, const char *block, struct err *e)
{
    double spent[SYNCS];

    for (int i = 0; i < SYNCS; i++) {
        double began = seconds();
        if (pwrite(fd, block, 4096, i % 64 * 4096) != 4096 || fdatasync(fd) != 0)
            return err_errno(e, "writing");
        spent[i] = seconds() - began;
    }
    l->sync = median(spent, SYNCS);
    return OK;
}

/* Into memory that was touched before, as a model's is. */
static int measure_reads(struct limits *l, int fd, struct err *e)
{
    char *p = mmap(NULL, l->file_bytes, PROT_READ, MAP_SHARED, fd, 0);
    char *to = malloc(l->file_bytes);
    double spent[3];

    if (p == MAP_FAILED || !to) {
        free(to);
        return err_errno(e, "reading");
    }
    memset(to, 1, l->file_bytes);
    for (int turn = 0; turn < 3; turn++) {
        double began = seconds();
        memcpy(to, p, l->file_bytes);
        spent[turn] = seconds() - began;
    }
    munmap(p, l->file_bytes);
    free(to);
    l->read = (double)l->file_bytes / median(spent, 3);
    return OK;
}

static int measure_disk(struct limits *l, const char *folder, struct err *e)
{
    char path[300], *block = malloc(BLOCK);
    double spent[3];

    snprintf(path, sizeof path, "%s/raw", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc = block && fd >= 0 ? OK : err_errno(e, "'%s'", path);
    for (size_t i = 0; block && i < BLOCK; i++)
        block[i] = (char)(i * 2654435761u >> 13);
    if (rc == OK)
        rc = write_whole(fd, block, l->file_bytes, e);
    for (int turn = 0; turn < 3 && rc == OK; turn++) {
        double began = seconds();
        rc = write_whole(fd, block, l->file_bytes, e);
        spent[turn] = seconds() - began;
    }
    if (rc == OK) {
        l->overwrite = (double)l->file_bytes / median(spent, 3);
        rc = measure_syncs(l, fd, block, e);
    }
    if (rc == OK)
        rc = measure_reads(l, fd, e);
    if (fd >= 0)
        close(fd);
    unlink(path);
    free(block);
    return rc;
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

int limits_measure(struct limits *l, const char *folder, size_t file_bytes, struct err *e)
{
    l->file_bytes = file_bytes;
    measure_hash(l);
    int rc = measure_disk(l, folder, e);
    return rc == OK ? measure_tcp(l, e) : rc;
}
