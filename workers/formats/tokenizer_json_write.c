#include "workers/formats/tokenizer_json_write.h"

#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "workers/formats/alphabet.h"
#include "workers/formats/chat_text.h"
#include "workers/formats/splits.h"

/* A token's text as the file has it: special and added ones as they are, bytes as "<0xNN>", others
 * in GPT-2's alphabet or with U+2581 for spaces. */
static int token_text(struct buf *out, const TokenizerModel *m, const uint8_t *kinds, uint32_t id)
{
    const ProtobufCBinaryData *t = &m->tokens[id];
    int rc = OK;

    out->n = 0;
    if (kinds[id] == 'b')
        return buf_printf(out, "<0x%02X>", t->data[0]);
    if (kinds[id] != 0)
        return buf_add(out, t->data, t->len);
    if (m->n_byte_fallback == 0)
        return alphabet_write(out, t->data, t->len);
    for (size_t i = 0; rc == OK && i < t->len; i++)
        rc = t->data[i] == ' ' ? buf_add(out, "\xe2\x96\x81", 3) : buf_add(out, &t->data[i], 1);
    return rc;
}

static int add_token(struct buf *out, const TokenizerModel *m, const uint8_t *kinds, uint32_t id)
{
    struct buf text = { 0 };
    int rc = token_text(&text, m, kinds, id);

    if (rc == OK)
        rc = json_string(out, text.p, text.n);
    buf_free(&text);
    return rc;
}

/* Of each token: 's'pecial, 'a'dded, 'b'yte, or 0. */
static uint8_t *kinds_of(const TokenizerModel *m)
{
    uint8_t *kinds = calloc(m->n_tokens + 1, 1);

    for (size_t i = 0; kinds && i < m->n_byte_fallback; i++)
        kinds[m->byte_fallback[i]] = 'b';
    for (size_t i = 0; kinds && i < m->n_added; i++)
        kinds[m->added[i]] = 'a';
    for (size_t i = 0; kinds && i < m->n_special; i++)
        kinds[m->special[i]] = 's';
    return kinds;
}

static int write_added(struct buf *out, const TokenizerModel *m, const uint8_t *kinds)
{
    const char *comma = "";
    int rc = buf_printf(out, "  \"added_tokens\": [");

    for (uint32_t id = 0; rc == OK && id < m->n_tokens; id++) {
        if (kinds[id] != 's' && kinds[id] != 'a')
            continue;
        rc = buf_printf(out, "%s\n    {\"id\": %u, \"content\": ", comma, id);
        if (rc == OK)
            rc = add_token(out, m, kinds, id);
        if (rc == OK)
            rc = buf_printf(out,
                ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                "\"normalized\": false, \"special\": %s}",
                kinds[id] == 's' ? "true" : "false");
        comma = ",";
    }
    return rc == OK ? buf_printf(out, "\n  ],\n") : rc;
}

/* ---- how text is cut, and put together again ---- */

static int write_byte_level(struct buf *out, const char *regex, bool nfc)
{
    int rc = buf_printf(out,
        "  \"normalizer\": %s,\n  \"pre_tokenizer\": {\"type\": \"Sequence\", "
        "\"pretokenizers\": [\n    {\"type\": \"Split\", \"pattern\": {\"Regex\": ",
        nfc ? "{\"type\": \"NFC\"}" : "null");

    if (rc == OK)
        rc = json_string(out, regex, strlen(regex));
    if (rc == OK)
        rc = buf_printf(out,
            "}, \"behavior\": \"Isolated\", \"invert\": false},\n"
            "    {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
            "\"use_regex\": false}]},\n"
            "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
            "\"trim_offsets\": true, \"use_regex\": true},\n");
    return rc;
}

static int write_pieces(struct buf *out, const TokenizerModel *m)
{
    int rc = buf_printf(out, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [%s",
        m->nfc ? "{\"type\": \"NFC\"}, " : "");

    if (rc == OK && m->space_prefix)
        rc = buf_printf(out, "{\"type\": \"Prepend\", \"prepend\": \"\u2581\"}, ");
    if (rc == OK)
        rc = buf_printf(out,
            "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": "
            "\"\u2581\"}]},\n"
            "  \"pre_tokenizer\": null,\n"
            "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", "
            "\"pattern\": {\"String\": \"\u2581\"}, \"content\": \" \"}, "
            "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}%s]},\n",
            m->space_prefix
                ? ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}"
                : "");
    return rc;
}

/* The token that begins every sequence is put in front. */
static int write_start(struct buf *out, const TokenizerModel *m, const uint8_t *kinds)
{
    uint32_t id = m->has_start ? m->start : m->end_of_text;
    struct buf text = { 0 };
    int rc = add_token(&text, m, kinds, id);

    if (rc == OK)
        rc = buf_printf(out,
            "  \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
            "[{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", "
            "\"type_id\": 0}}], \"pair\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, "
            "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", "
            "\"type_id\": 1}}], \"special_tokens\": {%s: {\"id\": %s, \"ids\": [%u], \"tokens\": "
            "[%s]}}},\n",
            text.p, text.p, text.p, text.p, id, text.p);
    buf_free(&text);
    return rc;
}

/* ---- the model ---- */

static int write_vocab(struct buf *out, const TokenizerModel *m, const uint8_t *kinds)
{
    const char *comma = "";
    int rc = buf_printf(out, "    \"vocab\": {");

    for (uint32_t id = 0; rc == OK && id < m->n_tokens; id++) {
        if (kinds[id] == 'a') /* its text may be another token's */
            continue;
        rc = buf_printf(out, "%s\n      ", comma);
        if (rc == OK)
            rc = add_token(out, m, kinds, id);
        if (rc == OK)
            rc = buf_printf(out, ": %u", id);
        comma = ",";
    }
    return rc == OK ? buf_printf(out, "\n    },\n") : rc;
}

static int write_merges(struct buf *out, const TokenizerModel *m, const uint8_t *kinds)
{
    int rc = buf_printf(out, "    \"merges\": [");

    for (size_t i = 0; rc == OK && i + 1 < m->n_merges; i += 2) {
        rc = buf_printf(out, "%s\n      [", i ? "," : "");
        if (rc == OK)
            rc = add_token(out, m, kinds, m->merges[i]);
        if (rc == OK)
            rc = buf_add(out, ", ", 2);
        if (rc == OK)
            rc = add_token(out, m, kinds, m->merges[i + 1]);
        if (rc == OK)
            rc = buf_add(out, "]", 1);
    }
    return rc == OK ? buf_printf(out, "\n    ]\n  }\n}\n") : rc;
}

static int write_all(
    struct buf *out, const TokenizerModel *m, const uint8_t *kinds, const char *regex)
{
    int rc = buf_printf(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n"
                             "  \"padding\": null,\n");

    if (rc == OK)
        rc = write_added(out, m, kinds);
    if (rc == OK)
        rc = regex ? write_byte_level(out, regex, m->nfc) : write_pieces(out, m);
    if (rc == OK)
        rc = write_start(out, m, kinds);
    if (rc == OK)
        rc = buf_printf(out,
            "  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
            "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
            "\"fuse_unk\": false, \"byte_fallback\": %s, \"ignore_merges\": %s,\n",
            m->n_byte_fallback > 0 ? "true" : "false", m->ignore_merges ? "true" : "false");
    if (rc == OK)
        rc = write_vocab(out, m, kinds);
    return rc == OK ? write_merges(out, m, kinds) : rc;
}

int tokenizer_json_write(struct buf *out, const TokenizerModel *m, struct err *e)
{
    const char *regex = split_regex(m->split);
    uint8_t *kinds = kinds_of(m);
    int rc = kinds ? OK : E_NOMEM;

    if (rc == OK && !regex && m->n_byte_fallback == 0)
        rc = err_set(e, E_INPUT, "the split '%.40s' cannot be said in tokenizer.json", m->split);
    else if (rc == OK)
        rc = write_all(out, m, kinds, regex);
    free(kinds);
    return rc == E_NOMEM ? err_set(e, E_NOMEM, "no memory for tokenizer.json") : rc;
}

int tokenizer_config_write(
    struct buf *out, const TokenizerModel *m, uint32_t context, struct err *e)
{
    const struct {
        const char *key;
        uint32_t id;
    } roles[] = {
        { "bos_token", m->has_start ? m->start : m->end_of_text },
        { "eos_token", m->end_of_answer },
        { "pad_token", m->pad },
    };
    struct buf jinja = { 0 };
    int rc = buf_printf(out,
        "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"model_max_length\": %u,\n"
        "  \"clean_up_tokenization_spaces\": false,\n  \"add_bos_token\": true,\n",
        context);

    for (size_t i = 0; rc == OK && i < sizeof roles / sizeof *roles; i++) {
        const ProtobufCBinaryData *t = &m->tokens[roles[i].id];
        rc = buf_printf(out, "  \"%s\": ", roles[i].key);
        if (rc == OK)
            rc = json_string(out, (const char *)t->data, t->len);
        if (rc == OK)
            rc = buf_add(out, ",\n", 2);
    }
    if (rc == OK)
        rc = chat_jinja(&jinja, m);
    if (rc == OK)
        rc = buf_printf(out, "  \"chat_template\": ");
    if (rc == OK)
        rc = json_string(out, jinja.p, jinja.n);
    if (rc == OK)
        rc = buf_printf(out, "\n}\n");
    buf_free(&jinja);
    return rc == OK ? OK : err_set(e, rc, "no memory for tokenizer_config.json");
}
