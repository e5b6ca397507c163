#include "store/store_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define FUSE_TYPE 0x65735546L

/* LMDB needs one page cache and one lock table for all processes; what several hosts may mount
 * has neither. Magic numbers of statfs(2). */
static const struct {
    unsigned long type;
    const char *name;
} refused[] = {
    { 0x6969, "NFS" },
    { 0x517B, "SMB" },
    { 0xFF534D42, "CIFS" },
    { 0xFE534D42, "SMB" },
    { 0x01021997, "9p" },
    { 0x5346414F, "AFS" },
    { 0x6B414653, "AFS" },
    { 0x73757245, "Coda" },
    { 0x564C, "NCP" },
    { 0x00C36400, "Ceph" },
    { 0x0BD00BD0, "Lustre" },
    { 0x47504653, "GPFS" },
    { 0x01161970, "GFS2" },
    { 0x7461636F, "OCFS2" },
    { 0x19830326, "BeeGFS" },
    { 0xAAD7AAEA, "PanFS" },
    { 0x786F4256, "vboxsf" },
    { 0xBACBACBC, "vmhgfs" },
};

const char *filesystem_refused(long type)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].type == ((unsigned long)type & 0xFFFFFFFF)) /* signed where long is short */
            return refused[i].name;
    return NULL;
}

bool filesystem_fuse_local(const char *mount_type)
{
    static const char *const local[] = { "fuseblk", "fuse.fuse-overlayfs", "fuse.ntfs-3g",
        "fuse.bindfs", "fuse.mergerfs" };

    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (strcmp(local[i], mount_type) == 0)
            return true;
    return false;
}

/* The type of the mounted file system that holds a device, from lines such as
 * "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue". */
static bool mount_type(char *out, size_t size, dev_t dev)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t cap = 0;
    bool found = false;

    while (f && !found && getline(&line, &cap, f) > 0) {
        unsigned high, low;
        char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %u:%u", &high, &low) != 2 || makedev(high, low) != dev)
            continue;
        rest += 3;
        snprintf(out, size, "%.*s", (int)strcspn(rest, " "), rest);
        found = true;
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

int filesystem_check(const char *path, struct err *e)
{
    struct statfs fs;
    struct stat st;
    char type[64] = "fuse";
    const char *name;

    if (statfs(path, &fs) != 0 || stat(path, &st) != 0)
        return err_errno(e, "'%s'", path);
    name = filesystem_refused((long)fs.f_type);
    if (!name && fs.f_type == FUSE_TYPE) {
        if (mount_type(type, sizeof type, st.st_dev) && filesystem_fuse_local(type))
            return OK;
        name = type;
    }
    if (!name)
        return OK;
    return err_set(e, E_INPUT,
        "'%s' is on a network or shared file system (%s), where the store would lose data: "
        "put the home folder on a local disk",
        path, name);
}
