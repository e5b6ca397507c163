#define PCRE2_CODE_UNIT_WIDTH 8

#include "workers/text/pretokenize.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

/* Unicode's White_Space. PCRE2's own \s also takes U+180E. */
#define S                                                \
    "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}" \
    "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

#define NEWLINES "\\r\\n"
#define CONTRACTIONS "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"

/* Names as in llama.cpp. A pattern that is alone matches at every place of a text. */
static const struct split {
    const char *name;
    const char *patterns[SPLIT_PATTERNS];
} splits[] = {
    /* Radford et al. 2019, encoder.py */
    { "gpt-2", { "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" S "\\p{L}\\p{N}]+"
                 "|[" S "]+(?![^" S "])|[" S "]+" } },
    /* Llama 3 */
    { "llama-bpe", { CONTRACTIONS "|[^" NEWLINES "\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
                                  "| ?[^" S "\\p{L}\\p{N}]+[" NEWLINES "]*|[" S "]*[" NEWLINES "]+"
                                  "|[" S "]+(?![^" S "])|[" S "]+" } },
    { "qwen2", { CONTRACTIONS "|[^" NEWLINES "\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
                              "| ?[^" S "\\p{L}\\p{N}]+[" NEWLINES "]*|[" S "]*[" NEWLINES "]+"
                              "|[" S "]+(?![^" S "])|[" S "]+" } },
    { "deepseek-coder",
        { "[" NEWLINES "]", "[" S "]?\\p{L}+", "[" S "]?\\p{P}+",
            "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+", "\\p{N}" } },
    /* SentencePiece's merges cross everything. */
    { "none", { "(?s).+" } },
};
#undef S
#undef NEWLINES
#undef CONTRACTIONS

struct pretokenizer {
    pcre2_code *codes[SPLIT_PATTERNS];
    size_t n;
    char name[64];
};

static const struct split *find_split(const char *name)
{
    size_t n = strcspn(name, "/");

    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        if (strlen(splits[i].name) == n && memcmp(splits[i].name, name, n) == 0)
            return &splits[i];
    }
    return NULL;
}

static int compile(struct pretokenizer *p, const struct split *row, struct err *e)
{
    PCRE2_SIZE offset;
    int error;

    for (; p->n < SPLIT_PATTERNS && row->patterns[p->n]; p->n++) {
        p->codes[p->n] = pcre2_compile((PCRE2_SPTR)row->patterns[p->n], PCRE2_ZERO_TERMINATED,
            PCRE2_UTF, &error, &offset, NULL);
        if (!p->codes[p->n])
            return err_set(e, E_NOMEM, "split '%s': PCRE2 error %d", row->name, error);
        /* Where the system allows no run-time code, matching is interpreted. */
        pcre2_jit_compile(p->codes[p->n], PCRE2_JIT_COMPLETE);
    }
    return OK;
}

int pretokenizer_new(struct pretokenizer **out, const char *split, struct err *e)
{
    const struct split *row = split != NULL ? find_split(split) : NULL;
    struct pretokenizer *p;
    char version[32] = "";

    if (!row)
        return err_set(
            e, E_INPUT, "unknown pre-tokenisation split '%.40s'", split != NULL ? split : "");
    p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    if (compile(p, row, e) != OK) {
        pretokenizer_free(p);
        return e->code;
    }
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    snprintf(p->name, sizeof p->name, "%s/unicode-%s", row->name, version);
    *out = p;
    return OK;
}

void pretokenizer_free(struct pretokenizer *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        pcre2_code_free(p->codes[i]);
    free(p);
}

const char *pretokenizer_name(const struct pretokenizer *p)
{
    return p->name;
}

int pieces_begin(
    struct pieces *it, const struct pretokenizer *p, const char *text, size_t n, struct err *e)
{
    *it = (struct pieces){ .split = p, .text = text, .n = n };
    it->match = pcre2_match_data_create(1, NULL);
    return it->match ? OK : err_set(e, E_NOMEM, "out of memory");
}

/* Length of the longest run of characters (or of stray bytes) that begins at p. */
static size_t run_length(const char *p, size_t n, bool valid)
{
    uint32_t code;
    size_t i = 0;

    while (i < n) {
        size_t length = (uint8_t)p[i] < 0x80 ? 1 : utf8_decode(&code, p + i, n - i);
        if ((length > 0) != valid)
            break;
        i += valid ? length : 1;
    }
    return i;
}

/* The next piece of what pattern i has to cut; it is not empty. */
static int cut(struct pieces *it, size_t i, struct span *piece, struct err *e)
{
    struct part *p = &it->parts[i];

    if (p->match <= p->at) {
        int rc = pcre2_match(it->split->codes[i], (PCRE2_SPTR)it->text, p->end, p->at,
            PCRE2_NO_UTF_CHECK, it->match, NULL);
        const PCRE2_SIZE *found = pcre2_get_ovector_pointer(it->match);
        if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
            return err_set(e, E_NOMEM, "cutting text into pieces: PCRE2 error %d", rc);
        p->match = rc < 0 ? p->end : found[0];
        if (p->match == p->at) {
            *piece = (struct span){ it->text + p->at, found[1] - p->at };
            p->match = p->at = found[1];
            return OK;
        }
    }
    *piece = (struct span){ it->text + p->at, p->match - p->at };
    p->at = p->match;
    return OK;
}

/* The last pattern's next piece; the earlier ones' pieces are cut further on the way. */
static int cut_all(struct pieces *it, struct span *piece, struct err *e)
{
    size_t last = it->split->n - 1, i = last;
    int rc = OK;

    while (i > 0 && it->parts[i].at == it->parts[i].end)
        i--;
    rc = cut(it, i, piece, e);
    for (; rc == OK && i < last; i++) {
        size_t begin = (size_t)((const char *)piece->p - it->text);
        it->parts[i + 1] = (struct part){ begin, begin, begin + piece->n };
        rc = cut(it, i + 1, piece, e);
    }
    return rc;
}

int pieces_next(struct pieces *it, struct span *piece, struct err *e)
{
    size_t begin = it->at;
    int rc;

    *piece = (struct span){ it->text + begin, 0 };
    if (begin == it->n)
        return OK;
    if (begin == it->valid) {
        it->valid += run_length(it->text + begin, it->n - begin, true);
        if (begin == it->valid) {
            it->at += run_length(it->text + begin, it->n - begin, false);
            it->valid = it->at;
            piece->n = it->at - begin;
            return OK;
        }
        it->parts[0] = (struct part){ begin, begin, it->valid };
    }
    rc = cut_all(it, piece, e);
    if (rc == OK)
        it->at = begin + piece->n;
    return rc;
}

void pieces_end(struct pieces *it)
{
    pcre2_match_data_free(it->match);
    it->match = NULL;
}
