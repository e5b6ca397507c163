#include "tests/bench/world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/model/model.h"
#include "workers/text/template.h"
#include "workers/text/tokenizer.h"

#define SPECIALS 3
#define BYTES 256
static const char *const specials[SPECIALS] = { "<|pad|>", "<|text|>", "<|end|>" };

/* Every pair of bytes is a merge, from the highest bytes on, as many as the vocabulary has room
 * for: ASCII text keeps a token for each of its bytes. */
static int make_tokenizer(struct id *out, struct store *store, uint32_t vocabulary, struct err *e)
{
    TokenizerModel m = TOKENIZER_MODEL__INIT;
    uint32_t special[SPECIALS] = { 0, 1, 2 }, n_merges = vocabulary - SPECIALS - BYTES;
    ProtobufCBinaryData *tokens = calloc(vocabulary, sizeof *tokens);
    uint8_t(*pairs)[2] = calloc(vocabulary, sizeof *pairs);
    uint32_t *merges = calloc(2 * n_merges, sizeof *merges);
    Output *o = NULL;
    int rc = tokens && pairs && merges ? OK : err_set(e, E_NOMEM, "no memory for a tokenizer");

    for (uint32_t i = 0; i < vocabulary && rc == OK; i++) {
        uint32_t byte = i - SPECIALS, merge = byte - BYTES;
        pairs[i][0] = (uint8_t)(byte < BYTES ? byte : 255 - merge / 256);
        pairs[i][1] = (uint8_t)(merge % 256);
        tokens[i] = (ProtobufCBinaryData){ byte < BYTES ? 1 : 2, pairs[i] };
        if (i < SPECIALS) {
            tokens[i] =
                (ProtobufCBinaryData){ strlen(specials[i]), (uint8_t *)(uintptr_t)specials[i] };
        } else if (byte >= BYTES) {
            merges[2 * merge] = SPECIALS + pairs[i][0];
            merges[2 * merge + 1] = SPECIALS + pairs[i][1];
        }
    }
    m.tokens = tokens;
    m.n_tokens = vocabulary;
    m.merges = merges;
    m.n_merges = 2 * n_merges;
    m.special = special;
    m.n_special = SPECIALS;
    m.split = (char *)(uintptr_t) "gpt-2";
    m.has_pad = m.has_end_of_text = m.has_end_of_answer = true;
    m.end_of_text = 1;
    m.end_of_answer = 2;
    m.template_ = (ChatTemplate *)(uintptr_t)template_named("plain");
    if (rc == OK)
        rc = tokenizer_save(&o, &m, store, e);
    if (rc == OK)
        id_from_span(out, o->id.data, o->id.len);
    message_free(o);
    free(tokens);
    free(pairs);
    free(merges);
    return rc;
}

int world_open(struct world *w, const struct size *s, struct err *e)
{
    const char *folder = getenv("TMPDIR");

    *w = (struct world){ 0 };
    snprintf(w->home, sizeof w->home, "%.40s/jielong-bench-XXXXXX", folder ? folder : "/tmp");
    if (!mkdtemp(w->home))
        return err_errno(e, "%s", w->home);
    int rc = store_open(&w->store, w->home, true, e);
    if (rc == OK)
        rc = warm_new(&w->warm, e);
    if (rc == OK)
        rc = make_tokenizer(&w->tokenizer, w->store, s->vocabulary, e);
    return rc;
}

void world_close(struct world *w)
{
    warm_free(w->warm);
    store_close(w->store);
    pid_t pid = w->home[0] ? fork() : 0;
    if (pid == 0 && w->home[0]) {
        execlp("rm", "rm", "-r", w->home, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

int world_tokens(
    struct id *out, struct world *w, const struct size *s, size_t windows, struct err *e)
{
    struct artifact_writer *writer = NULL;
    size_t n = windows * s->context + 1;
    int32_t *tokens = calloc(n, sizeof *tokens);
    Output *o = NULL;
    int rc = tokens ? artifact_create(&writer, w->store, ARTIFACT_KIND__TOKENS, e)
                    : err_set(e, E_NOMEM, "no memory for %zu tokens", n);

    for (size_t i = 0; i < n && rc == OK; i++)
        tokens[i] = SPECIALS +
                    (int32_t)(rng_uniform(7, RNG_NOISE, 0, i) * (double)(s->vocabulary - SPECIALS));
    if (rc == OK)
        rc = artifact_write(writer, tokens, n * sizeof *tokens, e);
    if (rc == OK)
        rc = artifact_fact(writer, "bytes", (int64_t)(4 * n), e);
    if (rc == OK)
        rc = artifact_commit(writer, "tokens", &o, e);
    else
        artifact_abort(writer);
    if (rc == OK)
        id_from_span(out, o->id.data, o->id.len);
    message_free(o);
    free(tokens);
    return rc;
}

int world_checkpoint(
    struct id *out, struct world *w, const struct size *s, bool scalar, struct err *e)
{
    ModelConfig c = size_config(s);
    struct model *body = NULL, *scored = NULL;
    Output *o = NULL;
    int rc = model_new(&body, &c, e);

    if (rc == OK) {
        model_init(body, 7);
        body->tokenizer = w->tokenizer;
    }
    if (rc == OK && scalar)
        rc = model_with_scalar_head(&scored, body, 7, e);
    if (rc == OK)
        rc = model_save(&o, scalar ? scored : body, w->store, "checkpoint", e);
    if (rc == OK)
        id_from_span(out, o->id.data, o->id.len);
    message_free(o);
    model_free(body);
    model_free(scored);
    return rc;
}

int world_prompts(struct id *out, struct world *w, size_t n, struct err *e)
{
    char path[96];
    Output *o = NULL;
    const size_t letters = PROMPT_PPO - 2; /* end of text before them, a newline after */

    snprintf(path, sizeof path, "%s/prompts.txt", w->home);
    FILE *f = fopen(path, "w");
    if (!f)
        return err_errno(e, "%s", path);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < letters; k++)
            fputc('a' + (int)(26 * rng_uniform(7, RNG_PROMPT, (uint32_t)i, k)), f);
        fputc('\n', f);
    }
    if (fclose(f) != 0)
        return err_errno(e, "%s", path);
    int rc = files_take(&o, w->store, path, NULL, NULL, e);
    if (rc == OK)
        id_from_span(out, o->id.data, o->id.len);
    message_free(o);
    return rc;
}
