#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "workers/formats/chat_text.h"
#include "workers/formats/hf_config.h"
#include "workers/formats/model_import.h"
#include "workers/formats/safetensors.h"
#include "workers/formats/tokenizer_file.h"

/* The .safetensors files of a folder, as one. */
struct shards {
    struct safetensors **at;
    size_t n;
    uint64_t bytes;
};

static bool find_tensor(const void *file, const char *name, struct tensor_view *out)
{
    static const char front[] = "transformer."; /* GPT-2's own files do without it */
    const struct shards *s = file;
    size_t skip = strncmp(name, front, sizeof front - 1) == 0 ? sizeof front - 1 : 0;

    for (size_t i = 0; i < s->n; i++)
        if (safetensors_find(s->at[i], name, out) ||
            (skip > 0 && safetensors_find(s->at[i], name + skip, out)))
            return true;
    return false;
}

static struct span name_at(const void *file, size_t i)
{
    const struct shards *s = file;

    for (size_t k = 0; k < s->n; k++) {
        size_t n = safetensors_count(s->at[k]);
        if (i < n) {
            const char *name = safetensors_name(s->at[k], i);
            return (struct span){ name, strlen(name) };
        }
        i -= n;
    }
    return (struct span){ NULL, 0 };
}

static void shards_close(struct shards *s)
{
    for (size_t i = 0; i < s->n; i++)
        safetensors_free(s->at[i]);
    free(s->at);
}

/* Mistral's folders hold the same weights once more, under names of its own. */
static bool is_shard(const char *name)
{
    static const char again[] = "consolidated";

    return name_ends(name, ".safetensors") && strncmp(name, again, sizeof again - 1) != 0;
}

static int shards_open(struct shards *s, const struct named_file *files, size_t n, struct err *e)
{
    int rc = OK;

    s->at = calloc(n + 1, sizeof *s->at);
    if (!s->at)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; rc == OK && i < n; i++) {
        if (!is_shard(files[i].name))
            continue;
        rc = safetensors_open(&s->at[s->n], files[i].bytes, e);
        if (rc == OK) {
            s->n++;
            s->bytes += files[i].bytes.n;
        } else {
            err_wrap(e, "%s", files[i].name);
        }
    }
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A tensor is in one shard only. */
static int check_distinct(const struct shards *s, struct err *e)
{
    const char **names;
    size_t n = 0, total = 0;
    int rc = OK;

    for (size_t i = 0; i < s->n; i++)
        total += safetensors_count(s->at[i]);
    names = malloc((total + 1) * sizeof *names);
    if (!names)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < safetensors_count(s->at[i]); k++)
            names[n++] = safetensors_name(s->at[i], k);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 1; rc == OK && i < n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            rc = err_set(e, E_INPUT, "tensor '%.64s' is in two files", names[i]);
    free(names);
    return rc;
}

/* All files that an index names are there. */
static int check_index(const struct named_file *files, size_t n, struct err *e)
{
    const struct named_file *index = file_named(files, n, "model.safetensors.index.json");
    const struct json *map;
    struct json *root = NULL;
    int rc;

    if (!index)
        return OK;
    rc = json_parse(&root, index->bytes.p, index->bytes.n, e);
    map = rc == OK ? json_get(root, "weight_map") : NULL;
    if (rc == OK && (!map || json_kind(map) != JSON_OBJECT_))
        rc = err_set(e, E_INPUT, "no weight_map");
    for (size_t i = 0; rc == OK && i < json_size(map); i++) {
        const char *name = json_text(json_value(map, i), NULL);
        if (!name || !file_named(files, n, name))
            rc = err_set(e, E_INPUT, "the file of '%.64s', '%.64s', is not there", json_key(map, i),
                name ? name : "");
    }
    if (root)
        json_free(root);
    return rc == OK ? OK : err_wrap(e, "%s", index->name);
}

/* Scalar heads have no bias there; one label. */
static int read_score(struct model *m, const struct shards *s, struct err *e)
{
    const struct tensor *t = model_tensor(m, "score.weight");
    struct tensor_view v;

    if (!t)
        return OK;
    if (!find_tensor(s, "score.weight", &v) || v.rows != 1 || v.cols != t->cols)
        return err_set(e, E_INPUT, "tensor 'score.weight' is not 1 x %zu", t->cols);
    element_read(v.type, m->params + t->offset, v.bytes.p, t->cols);
    return OK;
}

static int read_model(struct model **out, const struct named_file *files, size_t n,
    const struct import_options *o, struct err *e)
{
    const struct named_file *config = file_named(files, n, "config.json");
    struct shards s = { 0 };
    const struct tensor_source source = { &s, find_tensor, name_at };
    enum scheme scheme = HF_LLAMA;
    ModelConfig c;
    int rc = hf_config_read(&c, &scheme, config->bytes, o->context, e);

    if (rc != OK)
        return err_wrap(e, "config.json");
    context_cut(&c, o->context);
    rc = check_index(files, n, e);
    if (rc == OK)
        rc = shards_open(&s, files, n, e);
    if (rc == OK)
        rc = check_distinct(&s, e);
    if (rc == OK)
        rc = model_new_of(out, &c, s.bytes, o, e);
    if (rc == OK)
        rc = model_fill(*out, scheme, &source, e);
    if (rc == OK)
        rc = read_score(*out, &s, e);
    shards_close(&s);
    return rc;
}

static int read_tokenizer(
    TokenizerModel **out, const struct named_file *files, size_t n, struct err *e)
{
    const struct named_file *json = file_named(files, n, "tokenizer.json");
    const struct named_file *config = file_named(files, n, "tokenizer_config.json");
    const struct named_file *vocab = file_named(files, n, "vocab.json");
    const struct named_file *merges = file_named(files, n, "merges.txt");
    const struct span none = { NULL, 0 };
    int rc;

    if (json) {
        rc = tokenizer_from_json(out, json->bytes, config ? config->bytes : none, e);
        return rc == OK ? OK : err_wrap(e, "tokenizer.json");
    }
    if (!vocab || !merges)
        return err_set(e, E_INPUT,
            "neither tokenizer.json nor vocab.json with merges.txt (SentencePiece's "
            "tokenizer.model is "
            "not read: transformers can save it as tokenizer.json)");
    rc = tokenizer_from_merges(out, vocab->bytes, merges->bytes, e);
    return rc == OK ? OK : err_wrap(e, "vocab.json, merges.txt");
}

/* Of several templates the one called default, else the first. */
static struct span template_in(const struct json *config)
{
    const struct json *v = json_get(config, "chat_template"), *found = v;
    struct span s = { NULL, 0 };

    for (size_t i = 0; v && json_kind(v) == JSON_ARRAY_ && i < json_size(v); i++) {
        const struct json *one = json_at(v, i), *name = json_get(one, "name");
        size_t n = 0;
        const char *word = name ? json_text(name, &n) : NULL;
        bool chosen = word && n == 7 && memcmp(word, "default", 7) == 0;
        found = i == 0 || chosen ? json_get(one, "template") : found;
    }
    if (found)
        s.p = json_text(found, &s.n);
    return s;
}

static int read_chat(struct imported *out, const struct named_file *files, size_t n, struct err *e)
{
    const struct named_file *file = file_named(files, n, "chat_template.jinja");
    const struct named_file *config = file_named(files, n, "tokenizer_config.json");
    struct span jinja = { NULL, 0 };
    struct json *root = NULL;
    int rc = OK;

    if (file)
        jinja = file->bytes;
    else if (config)
        rc = json_parse(&root, config->bytes.p, config->bytes.n, e);
    if (rc == OK && root)
        jinja = template_in(root);
    out->own_template = jinja.p != NULL;
    if (rc == OK && jinja.p)
        rc = chat_adopt(out->tokenizer, jinja, e);
    json_free(root);
    return rc == OK ? OK : err_wrap(e, "%s", file ? file->name : "tokenizer_config.json");
}

int hf_tokenizer_import(
    struct imported *out, const struct named_file *files, size_t n, struct err *e)
{
    int rc = read_tokenizer(&out->tokenizer, files, n, e);

    return rc == OK ? read_chat(out, files, n, e) : rc;
}

int hf_import(struct imported *out, const struct named_file *files, size_t n,
    const struct import_options *o, struct err *e)
{
    int rc = read_model(&out->model, files, n, o, e);

    return rc == OK ? hf_tokenizer_import(out, files, n, e) : rc;
}
