#include <errno.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>

#include "workers/text/inspect_int.h"

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool is_file(const FTSENT *f)
{
    struct stat st;

    return f->fts_info == FTS_F ||
           (f->fts_info == FTS_SL && stat(f->fts_accpath, &st) == 0 && S_ISREG(st.st_mode));
}

int folder_each(const char *path, int (*each)(void *ctx, const char *path, struct err *e),
    void *ctx, struct files_left *left, struct err *e)
{
    char *const roots[] = { (char *)(uintptr_t)path, NULL };
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    size_t n = 0;
    FTSENT *f;
    int rc = OK;

    if (!tree)
        return err_errno(e, "cannot read '%s'", path);
    while (rc == OK && (f = fts_read(tree))) {
        if (f->fts_level > 0 && f->fts_name[0] == '.') {
            left->hidden += f->fts_info != FTS_DP; /* a folder is met again when it is left */
            fts_set(tree, f, FTS_SKIP);
        } else if (f->fts_info == FTS_DNR || f->fts_info == FTS_ERR || f->fts_info == FTS_NS) {
            rc = err_set(e, E_INPUT, "cannot read '%s': %s", f->fts_path, strerror(f->fts_errno));
        } else if (is_file(f)) {
            n++;
            rc = each(ctx, f->fts_path, e);
        } else if (f->fts_info != FTS_D && f->fts_info != FTS_DP) {
            left->links += f->fts_info == FTS_SL || f->fts_info == FTS_SLNONE;
            left->others += f->fts_info == FTS_DEFAULT;
        }
    }
    fts_close(tree);
    return rc == OK && n == 0 ? err_set(e, E_INPUT, "there are no files in '%s'", path) : rc;
}
