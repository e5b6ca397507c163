#include "workers/core.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/math/engine.h"

void core_choose(int argc, char **argv)
{
    const char *core = numeric_class_core(numeric_classes()[0]);

    if (!core || getenv("JIELONG_CORE_CHOSEN"))
        return;
    setenv("OPENBLAS_CORETYPE", core, 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    unsetenv("OPENBLAS_L2_SIZE");
    setenv("JIELONG_CORE_CHOSEN", "1", 1);
    char **args = calloc((size_t)argc + 2, sizeof *args);
    if (!args)
        return;
    args[0] = "jielong-worker";
    memcpy(args + 1, argv, (size_t)argc * sizeof *args);
    execv("/proc/self/exe", args);
    free(args);
}
