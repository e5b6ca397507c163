/* Runs every file of a folder through a fuzz target: what a fuzzer once found stays found. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int replay(const char *folder, const char *name)
{
    char path[4096];
    struct err e = ERR_INIT;
    char *p;
    size_t n;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (file_read(&p, &n, path, 1u << 24, &e) != OK) {
        fprintf(stderr, "%s\n", e.msg);
        return -1;
    }
    printf("%s: %zu bytes\n", name, n);
    fflush(stdout); /* the last line names the file that crashed */
    LLVMFuzzerTestOneInput((const uint8_t *)p, n);
    free(p);
    return 0;
}

int main(int argc, char **argv)
{
    struct dirent **names = NULL;
    int n, replayed = 0, failed = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    n = scandir(argv[1], &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            failed += replay(argv[1], names[i]->d_name) != 0;
            replayed++;
        }
        free(names[i]);
    }
    free(names);
    if (replayed == 0)
        fprintf(stderr, "no file in '%s'\n", argv[1]);
    return replayed > 0 && failed == 0 ? 0 : 1;
}
