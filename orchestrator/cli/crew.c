#include "orchestrator/cli/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"

#define NUMBER 10 /* bytes of the file: it is written over in place, so that the lock stays */

static void file_path(char out[HOME_PATH], const char *home)
{
    snprintf(out, HOME_PATH, "%s/workers", home);
}

static struct flock whole_file(void)
{
    return (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
}

static int write_number(int fd, unsigned n, const char *path, struct err *e)
{
    char text[NUMBER + 1];

    snprintf(text, sizeof text, "%-9u\n", n);
    return pwrite(fd, text, NUMBER, 0) == NUMBER ? OK : err_errno(e, "%s", path);
}

int crew_take(int *fd, const char *home, unsigned workers, struct err *e)
{
    struct flock l = whole_file();
    char path[HOME_PATH];
    int f, rc = OK;

    file_path(path, home);
    f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f < 0)
        return err_errno(e, "%s", path);
    if (fcntl(f, F_OFD_SETLK, &l) != 0)
        rc = errno == EAGAIN || errno == EACCES
                 ? err_set(e, E_BUSY, "another process looks after workers in %s", home)
                 : err_errno(e, "%s", path);
    if (rc == OK)
        rc = write_number(f, workers, path, e);
    if (rc == OK)
        *fd = f;
    else
        close(f);
    return rc;
}

unsigned crew_wanted(int fd, unsigned otherwise)
{
    char text[NUMBER + 1] = "", *end;
    unsigned long n;

    if (pread(fd, text, NUMBER, 0) != NUMBER)
        return otherwise;
    n = strtoul(text, &end, 10);
    return end > text && n <= CREW_MAX ? (unsigned)n : otherwise;
}

int crew_ask(const char *home, unsigned workers, unsigned *before, struct err *e)
{
    struct flock l = whole_file();
    char path[HOME_PATH];
    int rc, fd;

    file_path(path, home);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return err_errno(e, "%s", path);
    if (fd < 0 || fcntl(fd, F_OFD_GETLK, &l) != 0 || l.l_type == F_UNLCK) {
        if (fd >= 0)
            close(fd);
        return err_set(e, E_BUSY, "nobody looks after workers in %s", home);
    }
    *before = crew_wanted(fd, 0);
    rc = write_number(fd, workers, path, e);
    close(fd);
    return rc;
}
