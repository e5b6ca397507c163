#include "workers/tasks/page.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

void page_put(struct page *p, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    if (p->rc != OK)
        return;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    p->rc = n < 0 ? E_NOMEM : buf_add(p->out, text, (size_t)n);
    if (n >= 0)
        free(text);
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    }
    return NULL;
}

static void put_line(struct page *p, const char *text, size_t n)
{
    struct buf plain = { 0 };

    if (p->rc == OK)
        p->rc = utf8_escape(&plain, text, n);
    for (size_t i = 0, from = 0; i <= plain.n && p->rc == OK; i++) {
        const char *e = i < plain.n ? entity(plain.p[i]) : "";
        if (!e)
            continue;
        if (i > from)
            p->rc = buf_add(p->out, plain.p + from, i - from);
        from = i + 1;
        if (p->rc == OK)
            p->rc = buf_add(p->out, e, strlen(e));
    }
    buf_free(&plain);
}

void page_text(struct page *p, const char *text)
{
    for (const char *end; text && *text; text = end) {
        end = strchrnul(text, '\n');
        put_line(p, text, (size_t)(end - text));
        if (*end)
            page_put(p, "\n");
        end += *end == '\n';
    }
}

const char *page_lang(const char *text)
{
    size_t zh = 0, en = 0, n = text ? strlen(text) : 0;

    for (size_t i = 0, k; i < n; i += k) {
        uint32_t c;
        k = utf8_decode(&c, text + i, n - i);
        k = k ? k : 1;
        zh += c >= 0x3400 && c <= 0x9fff;
        en += c < 128 && isalpha((int)c);
    }
    return zh > 0 && 3 * zh >= en ? "zh" : en > 0 ? "en" : "";
}
