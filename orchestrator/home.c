#include "orchestrator/daemon.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/bytes.h"

#define IPC_PATH_MAX 107 /* sun_path, without its NUL */

/* A folder of our own, that nobody else may enter. */
static int private_folder(const char *path, struct err *e)
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_errno(e, "%s", path);
    if (lstat(path, &st) != 0)
        return err_errno(e, "%s", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return err_set(e, E_IO, "%s is not a private folder of this user", path);
    return OK;
}

int home_url(char out[HOME_URL], const char *home, struct err *e)
{
    char full[PATH_MAX], folder[64], hex[ID_HEX];
    struct id id;

    if (!realpath(home, full))
        return err_errno(e, "home %s", home);
    if (strlen(full) + strlen("/orchestrator.sock") <= IPC_PATH_MAX) {
        snprintf(out, HOME_URL, "ipc://%.*s/orchestrator.sock", IPC_PATH_MAX, full);
        return OK;
    }
    snprintf(folder, sizeof folder, "/tmp/jielong-%lu", (unsigned long)geteuid());
    if (private_folder(folder, e) != OK)
        return e->code;
    sha256(&id, full, strlen(full));
    id_hex(hex, &id);
    snprintf(out, HOME_URL, "ipc://%s/%.32s.sock", folder, hex);
    return OK;
}
