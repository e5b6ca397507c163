#include "proto/yaml_int.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message.h"
#include "proto/utf8.h"

#define QUOTED_COLUMNS 40
#define WORDS_MAX 64

const char *scalar_words(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return "a whole number";
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return "a number";
    case PROTOBUF_C_TYPE_BOOL:
        return "true or false";
    case PROTOBUF_C_TYPE_ENUM:
        return "a word";
    case PROTOBUF_C_TYPE_STRING:
        return "a text";
    case PROTOBUF_C_TYPE_BYTES:
        return "left out of files";
    case PROTOBUF_C_TYPE_MESSAGE:
        return "a mapping";
    }
    abort();
}

void refusal_suggest(struct refusal *why, const char *word, const char *const *words, size_t n)
{
    const char *nearest = diag_nearest(word, words, n);
    size_t used = 0;

    why->help[0] = '\0';
    if (nearest) {
        snprintf(why->help, sizeof why->help, "did you mean '%s'?", nearest);
        return;
    }
    for (size_t i = 0; i < n && used < sizeof why->help; i++)
        used += (size_t)snprintf(
            why->help + used, sizeof why->help - used, "%s%s", i > 0 ? ", " : "one of: ", words[i]);
}

static int refuse_value(struct refusal *why, const ProtobufCFieldDescriptor *f, const char *text)
{
    int shown = (int)utf8_fit(text, QUOTED_COLUMNS);

    if (text[0] == '\0')
        snprintf(why->what, sizeof why->what, "'%s' has no value", f->name);
    else
        snprintf(why->what, sizeof why->what, "'%s' must be %s, not '%.*s%s'", f->name,
            scalar_words(f), shown, text, text[shown] ? "…" : "");
    return E_INPUT;
}

static int refuse_range(
    struct refusal *why, const ProtobufCFieldDescriptor *f, bool negative, const char *limit)
{
    if (negative && strcmp(limit, "0") == 0)
        snprintf(why->what, sizeof why->what, "'%s' must not be negative", f->name);
    else
        snprintf(why->what, sizeof why->what, "'%s' must be %s %s", f->name,
            negative ? "at least" : "at most", limit);
    return E_INPUT;
}

/* Bytes may be written as 512M or 8G, in powers of 1024. 0: what follows the digits is no unit. */
static uint64_t unit_of(const ProtobufCFieldDescriptor *f, const char *suffix)
{
    static const char letters[] = "KMGT";
    const char *at = *suffix ? strchr(letters, *suffix) : NULL;

    if (!*suffix)
        return 1;
    if (!at || suffix[1] || strcmp(f->name, "memory") != 0)
        return 0;
    return 1ull << 10 * (at - letters + 1);
}

static int parse_unsigned(uint64_t *out, const ProtobufCFieldDescriptor *f, const char *text,
    uint64_t most, struct refusal *why)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    size_t n = strspn(digits, "0123456789");
    uint64_t unit = unit_of(f, digits + n);
    unsigned long long value;
    char limit[32];

    if (n == 0 || unit == 0)
        return refuse_value(why, f, text);
    if (digits != text && strspn(digits, "0") != n)
        return refuse_range(why, f, true, "0");
    errno = 0;
    value = strtoull(digits, NULL, 10);
    if (errno == ERANGE || value > most / unit) {
        snprintf(limit, sizeof limit, "%llu", (unsigned long long)most);
        return refuse_range(why, f, false, limit);
    }
    *out = value * unit;
    return OK;
}

static int parse_signed(int64_t *out, const ProtobufCFieldDescriptor *f, const char *text,
    int64_t least, int64_t most, struct refusal *why)
{
    bool negative = text[0] == '-';
    const char *digits = negative ? text + 1 : text;
    size_t n = strspn(digits, "0123456789");
    char limit[32];
    long long value;

    if (n == 0 || digits[n] != '\0')
        return refuse_value(why, f, text);
    errno = 0;
    value = strtoll(text, NULL, 10);
    if (errno == ERANGE || value < least || value > most) {
        snprintf(limit, sizeof limit, "%lld", (long long)(negative ? least : most));
        return refuse_range(why, f, negative, limit);
    }
    *out = value;
    return OK;
}

/* [-+] digits [. digits] [e [-+] digits], with a digit before or after the point. */
static bool is_decimal(const char *text)
{
    size_t before, after = 0, exponent;

    text += *text == '-' || *text == '+';
    before = strspn(text, "0123456789");
    text += before;
    if (*text == '.') {
        after = strspn(text + 1, "0123456789");
        text += 1 + after;
    }
    if (before + after == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        exponent = strspn(text, "0123456789");
        if (exponent == 0)
            return false;
        text += exponent;
    }
    return *text == '\0';
}

static int parse_double(
    double *out, const ProtobufCFieldDescriptor *f, const char *text, struct refusal *why)
{
    double value;

    if (!is_decimal(text))
        return refuse_value(why, f, text);
    value = strtod(text, NULL);
    if (f->type == PROTOBUF_C_TYPE_FLOAT ? !isfinite((float)value) : !isfinite(value)) {
        snprintf(why->what, sizeof why->what, "'%s' is too large a number", f->name);
        return E_INPUT;
    }
    *out = value;
    return OK;
}

static int parse_bool(protobuf_c_boolean *out, const ProtobufCFieldDescriptor *f, const char *text,
    struct refusal *why)
{
    static const struct {
        const char *word;
        int value;
    } words[] = {
        { "true", 1 },
        { "false", 0 },
        { "yes", 1 },
        { "no", 0 },
        { "on", 1 },
        { "off", 0 },
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].word, text) == 0) {
            *out = words[i].value;
            return OK;
        }
    }
    return refuse_value(why, f, text);
}

/* A hyphen is as good as an underscore: Python's libraries write all-linear. */
static bool is_word(const char *word, const char *text)
{
    for (; *word && (*word == *text || (*word == '_' && *text == '-')); word++)
        text++;
    return *word == *text;
}

static int parse_enum(
    int32_t *out, const ProtobufCFieldDescriptor *f, const char *text, struct refusal *why)
{
    const ProtobufCEnumDescriptor *type = f->descriptor;
    const char *words[WORDS_MAX];
    size_t n = 0;

    if (text[0] == '\0')
        return refuse_value(why, f, text);
    for (unsigned i = 0; i < type->n_values && n < WORDS_MAX; i++) {
        words[n] = enum_word(type, type->values[i].value);
        if (is_word(words[n++], text)) {
            *out = type->values[i].value;
            return OK;
        }
    }
    snprintf(why->what, sizeof why->what, "'%s' cannot be '%.*s'", f->name,
        (int)utf8_fit(text, QUOTED_COLUMNS), text);
    refusal_suggest(why, text, words, n);
    return E_INPUT;
}

/* Whole numbers: by width and sign, each into its own type. */
static int parse_whole(void *value, const ProtobufCFieldDescriptor *f, const char *text,
    bool is_signed, struct refusal *why)
{
    bool wide = f->type == PROTOBUF_C_TYPE_INT64 || f->type == PROTOBUF_C_TYPE_SINT64 ||
                f->type == PROTOBUF_C_TYPE_SFIXED64 || f->type == PROTOBUF_C_TYPE_UINT64 ||
                f->type == PROTOBUF_C_TYPE_FIXED64;
    uint64_t u = 0;
    int64_t i = 0;
    int rc;

    if (is_signed)
        rc = parse_signed(
            &i, f, text, wide ? INT64_MIN : INT32_MIN, wide ? INT64_MAX : INT32_MAX, why);
    else
        rc = parse_unsigned(&u, f, text, wide ? UINT64_MAX : UINT32_MAX, why);
    if (rc != OK)
        return rc;
    if (is_signed)
        u = (uint64_t)i;
    if (wide)
        memcpy(value, &u, sizeof u);
    else
        memcpy(value, &(uint32_t){ (uint32_t)u }, sizeof(uint32_t));
    return OK;
}

int scalar_parse(
    void *value, const ProtobufCFieldDescriptor *f, const char *text, size_t n, struct refusal *why)
{
    double number;
    char *copy;
    int rc;

    *why = (struct refusal){ 0 };
    if (memchr(text, '\0', n)) {
        snprintf(why->what, sizeof why->what, "'%s' must not hold a NUL character", f->name);
        return E_INPUT;
    }
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return parse_whole(value, f, text, true, why);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return parse_whole(value, f, text, false, why);
    case PROTOBUF_C_TYPE_FLOAT:
        rc = parse_double(&number, f, text, why);
        if (rc == OK)
            *(float *)value = (float)number;
        return rc;
    case PROTOBUF_C_TYPE_DOUBLE:
        return parse_double(value, f, text, why);
    case PROTOBUF_C_TYPE_BOOL:
        return parse_bool(value, f, text, why);
    case PROTOBUF_C_TYPE_ENUM:
        return parse_enum(value, f, text, why);
    case PROTOBUF_C_TYPE_STRING:
        copy = strdup(text);
        if (copy)
            memcpy(value, &copy, sizeof copy);
        return copy ? OK : E_NOMEM;
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return refuse_value(why, f, text);
    }
    abort();
}
