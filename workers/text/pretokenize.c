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

static const struct split {
    const char *name, *pattern; /* the pattern matches at every place of a text */
} splits[] = {
    /* Radford et al. 2019, encoder.py */
    { "gpt-2", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" S "\\p{L}\\p{N}]+"
               "|[" S "]+(?![^" S "])|[" S "]+" },
};
#undef S

struct pretokenizer {
    pcre2_code *code;
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

int pretokenizer_new(struct pretokenizer **out, const char *split, struct err *e)
{
    const struct split *row = find_split(split);
    struct pretokenizer *p;
    char version[32] = "";
    PCRE2_SIZE offset;
    int error;

    if (!row)
        return err_set(e, E_INPUT, "unknown pre-tokenisation split '%.40s'", split);
    p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    p->code = pcre2_compile((PCRE2_SPTR)row->pattern, PCRE2_ZERO_TERMINATED,
        PCRE2_UTF | PCRE2_ANCHORED, &error, &offset, NULL);
    if (!p->code) {
        free(p);
        return err_set(e, E_NOMEM, "split '%s': PCRE2 error %d", row->name, error);
    }
    /* Where the system allows no run-time code, matching is interpreted. */
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    snprintf(p->name, sizeof p->name, "%s/unicode-%s", row->name, version);
    *out = p;
    return OK;
}

void pretokenizer_free(struct pretokenizer *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
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
    }
    rc = pcre2_match(it->split->code, (PCRE2_SPTR)it->text, it->valid, begin, PCRE2_NO_UTF_CHECK,
        it->match, NULL);
    if (rc < 0)
        return err_set(e, E_NOMEM, "cutting text into pieces: PCRE2 error %d", rc);
    it->at = pcre2_get_ovector_pointer(it->match)[1];
    piece->n = it->at - begin;
    return OK;
}

void pieces_end(struct pieces *it)
{
    pcre2_match_data_free(it->match);
    it->match = NULL;
}
