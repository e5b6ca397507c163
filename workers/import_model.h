#ifndef WORKERS_IMPORT_MODEL_H
#define WORKERS_IMPORT_MODEL_H

#include <stdbool.h>

/* `jielong import --inspect PATH` where PATH is a model of another program. */

/* A .gguf file, or a folder with one, or with config.json. */
bool import_is_model(const char *path);
/* Reads all of it, as the stage `import` would, and says what it is. Returns the exit code. */
int import_model_inspect(const char *path, bool json);

#endif
