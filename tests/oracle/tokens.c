#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "workers/formats/tokenizer_file.h"
#include "workers/text/tokenizer.h"

/* tokens HOME TOKENIZER LINES, or tokens FILE.json "" LINES: the ids of each line, a JSON list a
 * line, of a tokenizer of the store or of a tokenizer.json. */

static int open_stored(struct tokenizer **out, const char *home, const char *hex, struct err *e)
{
    struct store *s = NULL;
    struct id id;
    int rc = id_parse(&id, hex) ? store_open(&s, home, false, e) : err_set(e, E_INPUT, "no id");

    if (rc == OK)
        rc = tokenizer_load(out, s, &id, e);
    store_close(s);
    return rc;
}

static int open_json(struct tokenizer **out, const char *path, struct err *e)
{
    const struct span none = { NULL, 0 };
    TokenizerModel *m = NULL;
    char *text = NULL;
    size_t n;
    int rc = file_read(&text, &n, path, 1 << 28, e);

    if (rc == OK)
        rc = tokenizer_from_json(&m, (struct span){ text, n }, none, e);
    if (rc == OK)
        rc = tokenizer_new(out, m, e);
    free(text);
    if (m)
        message_free(m);
    return rc;
}

static int print_lines(const struct tokenizer *t, const char *text, struct err *e)
{
    struct ids ids = { 0 };
    int rc = OK;

    while (rc == OK && *text) {
        size_t n = strcspn(text, "\n");
        ids.n = 0;
        rc = tokenizer_encode(t, &ids, text, n, e);
        printf("[");
        for (size_t i = 0; i < ids.n; i++)
            printf("%s%d", i ? "," : "", ids.p[i]);
        printf("]\n");
        text += n + (text[n] == '\n');
    }
    ids_free(&ids);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct tokenizer *t = NULL;
    char *text = NULL;
    size_t n;

    if (argc != 4)
        return 2;
    int rc = *argv[2] ? open_stored(&t, argv[1], argv[2], &e) : open_json(&t, argv[1], &e);
    if (rc == OK)
        rc = file_read(&text, &n, argv[3], 1 << 28, &e);
    if (rc == OK)
        rc = print_lines(t, text, &e);
    if (rc != OK)
        fprintf(stderr, "error: %s\n", e.msg);
    tokenizer_free(t);
    free(text);
    return rc == OK ? 0 : 1;
}
