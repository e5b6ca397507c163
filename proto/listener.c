#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/socket.h"

#define ANSWER_MS 500

/* A host that answers says ECONNREFUSED; a path at which nothing was ever bound, ENOENT. */
static bool refused(int family, const struct sockaddr *address, socklen_t size)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    socklen_t n = sizeof error;

    if (fd < 0)
        return false;
    if (connect(fd, address, size) != 0)
        error = errno;
    if (error == EINPROGRESS) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        if (poll(&p, 1, ANSWER_MS) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
            error = ETIMEDOUT;
    }
    close(fd);
    return error == ECONNREFUSED || error == ENOENT;
}

static bool path_refused(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof a.sun_path)
        return false;
    strcpy(a.sun_path, path);
    return refused(AF_UNIX, (const struct sockaddr *)&a, sizeof a);
}

static bool host_refused(const char *host_and_port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char host[512];
    char *colon;
    bool all = true;

    snprintf(host, sizeof host, "%s", host_and_port);
    colon = strrchr(host, ':');
    if (!colon)
        return false;
    *colon = '\0';
    bool bracketed = host[0] == '[' && colon[-1] == ']';
    if (bracketed)
        colon[-1] = '\0';
    if (getaddrinfo(host + bracketed, colon + 1, &hints, &found) != 0)
        return false;
    for (struct addrinfo *a = found; a && all; a = a->ai_next)
        all = refused(a->ai_family, a->ai_addr, a->ai_addrlen);
    freeaddrinfo(found);
    return all;
}

bool socket_refused(const char *url)
{
    if (strncmp(url, "ipc://", 6) == 0)
        return path_refused(url + 6);
    return strncmp(url, "tcp://", 6) == 0 && host_refused(url + 6);
}
