#ifndef WORKERS_IMPORT_MODEL_H
#define WORKERS_IMPORT_MODEL_H

#include <stdbool.h>

/* `jielong import --inspect PATH` where PATH is a model of another program, or its tokenizer. */

/* A .gguf or .tiktoken file, tokenizer.json or llama2.c's tok….bin; or a folder with one of them,
 * with config.json or merges.txt. */
bool import_is_model(const char *path);
/* Reads all of it, as the stage `import` or `tokenizer` would, and says what it is. Returns the
 * exit code. */
int import_model_inspect(const char *path, bool json);

#endif
