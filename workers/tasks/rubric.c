#include "workers/tasks/rubric.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/utf8.h"

static bool asks_back(const Rubric *r, const char *text)
{
    for (size_t i = 0; i < r->n_asking_back; i++)
        if (*r->asking_back[i] && strstr(text, r->asking_back[i]))
            return true;
    return false;
}

static bool blank(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return *text == '\0';
}

/* Upper and lower case are the same for ASCII; other characters must be equal. */
static bool holds(const char *text, const char *word)
{
    size_t n = strlen(word);

    if (n == 0)
        return false;
    for (; *text; text++)
        if (strncasecmp(text, word, n) == 0)
            return true;
    return false;
}

static bool holds_accepted(const Prompt *p, const char *text)
{
    for (size_t i = 0; i < p->n_accepted; i++)
        if (holds(text, p->accepted[i]))
            return true;
    return false;
}

static bool ideograph(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x3ffff);
}

/* zh: most letters are ideographs; en: most are ASCII letters; not known: anything goes. */
static bool in_language(const char *lang, const char *text)
{
    size_t zh = 0, en = 0, n = strlen(text);

    for (size_t i = 0, k; i < n; i += k) {
        uint32_t c;
        k = utf8_decode(&c, text + i, n - i);
        k = k ? k : 1;
        zh += ideograph(c);
        en += c < 128 && isalpha((int)c);
    }
    if (!lang || !*lang)
        return true;
    return strcmp(lang, "zh") == 0 ? zh > 0 && 3 * zh >= en : en > 0 && en > 3 * zh;
}

/* Times that it stands in the text, apart from each other. */
static size_t occurrences(const char *text, const char *part)
{
    size_t n = 0, size = strlen(part);

    while (size > 0 && (text = strstr(text, part))) {
        text += size;
        n++;
    }
    return n;
}

static double rules_score(const Rubric *r, const char *text)
{
    double score = 0;

    for (size_t i = 0; i < r->n_rules; i++) {
        size_t n = occurrences(text, r->rules[i]->contains);
        score += r->rules[i]->score * (double)(r->rules[i]->each ? n : n > 0);
    }
    return score;
}

bool rubric_applies(const Rubric *r, const Prompt *p)
{
    return r->n_rules > 0 || p->n_accepted > 0;
}

struct judgement rubric_judge(const Rubric *r, const Prompt *p, const char *text, bool ended)
{
    bool english = p->lang && strcmp(p->lang, "en") == 0;
    size_t limit = english ? r->max_chars_en : r->max_chars;
    struct judgement j = { 0 };

    j.answers = !blank(text) && !asks_back(r, text);
    j.right = j.answers && holds_accepted(p, text);
    j.language = in_language(p->lang, text);
    j.ends = ended;
    j.brief = !blank(text) && utf8_count(text, strlen(text)) <= limit;
    j.gold = r->right * j.right + r->answers * j.answers + r->language * j.language +
             r->ends * j.ends + r->short_ * j.brief + rules_score(r, text);
    return j;
}

double repetition(const char *text)
{
    size_t n = strlen(text), count = 0, again = 0;
    size_t *starts = malloc((n + 2) * sizeof *starts);

    if (!starts)
        return 0;
    for (size_t i = 0, k; i < n; i += k) {
        uint32_t c;
        k = utf8_decode(&c, text + i, n - i);
        k = k ? k : 1;
        starts[count++] = i;
    }
    starts[count] = n;
    for (size_t i = 4; i <= count; i++) {
        size_t from = starts[i - 4], size = starts[i] - from;
        bool seen = false;
        for (size_t k = 4; k < i && !seen; k++)
            seen = starts[k] - starts[k - 4] == size &&
                   memcmp(text + starts[k - 4], text + from, size) == 0;
        again += seen;
    }
    free(starts);
    return count >= 4 ? (double)again / (double)(count - 3) : 0;
}
