#include "workers/formats/splits.h"

#include <string.h>

static const struct {
    const char *split, *regex;
} rows[] = {
    { "gpt-2",
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" },
    { "llama-bpe", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
                   "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
    { "qwen2", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
               "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
};
#define ROWS (sizeof rows / sizeof *rows)

const char *split_regex(const char *split)
{
    size_t n = strcspn(split, "/");

    for (size_t i = 0; i < ROWS; i++)
        if (strlen(rows[i].split) == n && memcmp(rows[i].split, split, n) == 0)
            return rows[i].regex;
    return NULL;
}

const char *split_of_regex(const char *regex, size_t n)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strlen(rows[i].regex) == n && memcmp(rows[i].regex, regex, n) == 0)
            return rows[i].split;
    return NULL;
}
