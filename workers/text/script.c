#include "workers/text/script.h"

#include "proto/utf8.h"

static const char *const names[] = {
    [SCRIPT_ZH] = "zh",
    [SCRIPT_JA] = "ja",
    [SCRIPT_KO] = "ko",
    [SCRIPT_LATIN] = "Latin",
    [SCRIPT_CYRILLIC] = "Cyrillic",
    [SCRIPT_GREEK] = "Greek",
    [SCRIPT_HEBREW] = "Hebrew",
    [SCRIPT_ARABIC] = "Arabic",
    [SCRIPT_INDIC] = "Indic",
    [SCRIPT_THAI] = "Thai",
    [SCRIPT_OTHER] = "other",
};
_Static_assert(sizeof names / sizeof *names == SCRIPTS, "a name for each script");

/* Beyond ASCII. */
static const struct range {
    uint32_t first, last;
    enum script script;
} ranges[] = {
    { 0xc0, 0x24f, SCRIPT_LATIN },
    { 0x370, 0x3ff, SCRIPT_GREEK },
    { 0x400, 0x52f, SCRIPT_CYRILLIC },
    { 0x590, 0x5ff, SCRIPT_HEBREW },
    { 0x600, 0x77f, SCRIPT_ARABIC },
    { 0x900, 0xdff, SCRIPT_INDIC },
    { 0xe00, 0xe7f, SCRIPT_THAI },
    { 0x1e00, 0x1eff, SCRIPT_LATIN },
    { 0x1100, 0x11ff, SCRIPT_KO },
    { 0x3040, 0x30ff, SCRIPT_JA },
    { 0x3400, 0x4dbf, SCRIPT_ZH },
    { 0x4e00, 0x9fff, SCRIPT_ZH },
    { 0xac00, 0xd7af, SCRIPT_KO },
    { 0xf900, 0xfaff, SCRIPT_ZH },
    { 0x20000, 0x3ffff, SCRIPT_ZH },
};

const char *script_name(enum script s)
{
    return names[s];
}

enum script script_of(struct span text)
{
    const char *p = text.p;
    size_t counts[SCRIPTS] = { 0 };
    enum script most = SCRIPT_OTHER;
    uint32_t code;

    for (size_t i = 0, length; i < text.n; i += length) {
        if ((uint8_t)p[i] < 0x80) {
            counts[SCRIPT_LATIN] += ((uint8_t)p[i] | 0x20) >= 'a' && ((uint8_t)p[i] | 0x20) <= 'z';
            length = 1;
            continue;
        }
        length = utf8_decode(&code, p + i, text.n - i);
        for (size_t k = 0; length > 0 && k < sizeof ranges / sizeof *ranges; k++)
            if (code >= ranges[k].first && code <= ranges[k].last)
                counts[ranges[k].script] += ranges[k].script <= SCRIPT_KO ? 3 : 1;
        length += length == 0;
    }
    /* Japanese is written in ideographs and kana, Chinese never in kana. */
    if (counts[SCRIPT_JA] * 10 > counts[SCRIPT_ZH] && counts[SCRIPT_JA] > 0) {
        counts[SCRIPT_JA] += counts[SCRIPT_ZH];
        counts[SCRIPT_ZH] = 0;
    }
    for (int s = 0; s < SCRIPTS; s++)
        if (counts[s] > counts[most])
            most = (enum script)s;
    return most;
}
