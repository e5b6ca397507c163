#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* A long cable between two network namespaces, for kernels without netem: a TUN device `eth` in
 * each, and what goes into one comes out of the other after DELAY ± JITTER ms, in order.
 *
 *   cable NAMESPACE NAMESPACE        until it is killed; says "ready" when both devices are there
 */

#define DELAY_US 20000
#define JITTER_US 5000
#define PACKET 1600 /* bytes, at most */
#define ON_WAY 4096 /* packets each way; what does not fit is lost, as on cables */

struct packet {
    int64_t due_us;
    size_t n;
    char bytes[PACKET];
};

struct way { /* a ring: from one device to the other */
    int from, to;
    size_t first, n;
    int64_t last_us;
    struct packet *ring; /* ON_WAY */
};

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The descriptor stays with its device, wherever the process goes then. */
static int device_in(const char *namespace, const char *name)
{
    struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    char path[256];
    int space, fd;

    snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
    space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0)
        return -1;
    close(space);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    return fd >= 0 && ioctl(fd, TUNSETIFF, &r) == 0 ? fd : -1;
}

static void take(struct way *w)
{
    static uint32_t x = 1;
    struct packet lost;

    for (;;) {
        struct packet *p = w->n < ON_WAY ? &w->ring[(w->first + w->n) % ON_WAY] : &lost;
        ssize_t n = read(w->from, p->bytes, PACKET);
        if (n <= 0)
            return;
        if (p == &lost)
            continue;
        x = x * 1664525u + 1013904223u;
        p->n = (size_t)n;
        p->due_us = now_us() + DELAY_US - JITTER_US + (x >> 16) % (2 * JITTER_US);
        if (p->due_us < w->last_us)
            p->due_us = w->last_us;
        w->last_us = p->due_us;
        w->n++;
    }
}

static void give(struct way *w, int64_t now)
{
    while (w->n > 0 && w->ring[w->first].due_us <= now) {
        struct packet *p = &w->ring[w->first];
        ssize_t put = write(w->to, p->bytes, p->n);
        (void)put; /* a device that is down takes nothing */
        w->first = (w->first + 1) % ON_WAY;
        w->n--;
    }
}

static int64_t wait_us(const struct way *ways, int64_t now)
{
    int64_t wait = 1000000;

    for (int i = 0; i < 2; i++)
        if (ways[i].n > 0 && ways[i].ring[ways[i].first].due_us - now < wait)
            wait = ways[i].ring[ways[i].first].due_us - now;
    return wait > 0 ? wait : 0;
}

int main(int argc, char **argv)
{
    struct way ways[2] = { 0 };
    int fds[2];

    for (int i = 0; i < 2; i++) {
        fds[i] = argc == 5 ? device_in(argv[1 + 2 * i], argv[2 + 2 * i]) : -1;
        ways[i].ring = calloc(ON_WAY, sizeof *ways[i].ring);
        if (fds[i] < 0 || !ways[i].ring) {
            fprintf(stderr, "cable NAMESPACE DEVICE NAMESPACE DEVICE: %s\n", strerror(errno));
            return 1;
        }
    }
    for (int i = 0; i < 2; i++) {
        ways[i].from = fds[i];
        ways[i].to = fds[1 - i];
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        int64_t wait = wait_us(ways, now_us());
        struct timespec t = { wait / 1000000, wait % 1000000 * 1000 };
        struct pollfd p[2] = { { .fd = fds[0], .events = POLLIN },
            { .fd = fds[1], .events = POLLIN } };
        ppoll(p, 2, &t, NULL);
        for (int i = 0; i < 2; i++) {
            if (p[i].revents & POLLIN)
                take(&ways[i]);
            give(&ways[i], now_us());
        }
    }
}
