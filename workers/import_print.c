#include "workers/import_print.h"

#include <inttypes.h>
#include <string.h>

#include "proto/utf8.h"

static int label(struct buf *out, const char *name)
{
    return buf_printf(out, "  %-18s", name);
}

static int add_facts(struct buf *out, const char *name, Fact *const *facts, size_t n)
{
    int rc = n > 0 ? label(out, name) : OK;

    for (size_t i = 0; i < n && rc == OK; i++)
        rc = buf_printf(out, "%s%s %" PRId64, i ? ", " : "", facts[i]->name, facts[i]->value);
    return n > 0 && rc == OK ? buf_add(out, "\n", 1) : rc;
}

static int add_spread(struct buf *out, const char *name, const Spread *s, const char *unit)
{
    int rc = s ? label(out, name) : OK;

    if (!s || rc != OK)
        return rc;
    return buf_printf(out,
        "%" PRIu64 " to %" PRIu64 " %s, half below %" PRIu64 ", 95 %% below %" PRIu64
        ", mean %.1f\n",
        s->least, s->most, unit, s->median, s->p95, s->mean);
}

static int add_number(struct buf *out, const char *name, bool there, uint64_t n)
{
    int rc = there ? label(out, name) : OK;

    return there && rc == OK ? buf_printf(out, "%" PRIu64 "\n", n) : rc;
}

static int add_counts(struct buf *out, const InspectedInput *m)
{
    int rc = label(out, m->documents ? "documents" : "records");

    if (rc == OK)
        rc = buf_printf(out, "%" PRIu64 " read = %" PRIu64 " used", m->read, m->used);
    for (size_t i = 0; i < m->n_dropped && rc == OK; i++)
        rc = buf_printf(out, " + %" PRId64 " %s", m->dropped[i]->value, m->dropped[i]->name);
    if (rc == OK)
        rc = buf_printf(out, "; %" PRIu64 " %s come of them\n", m->items,
            m->documents ? "documents" : m->gives);
    return rc;
}

static int add_comparisons(struct buf *out, const InspectedInput *m)
{
    int rc = add_facts(out, "answers each", m->answers_to_a_prompt, m->n_answers_to_a_prompt);

    if (rc != OK || !m->has_pairs)
        return rc;
    rc = label(out, "pairs");
    if (rc == OK)
        rc = buf_printf(out,
            "%" PRIu64 ", of which %" PRIu64 " tied; %" PRIu64 " rankings tied altogether\n",
            m->pairs, m->tied_pairs, m->all_tied);
    return rc == OK ? add_number(out, "empty answers", true, m->empty_answers) : rc;
}

static int add_duplicates(struct buf *out, const InspectedInput *m)
{
    int rc = m->has_duplicate_items ? label(out, "duplicates") : OK;

    if (rc == OK && m->has_duplicate_items)
        rc = buf_printf(out, "%" PRIu64 " equal to one before, %" PRIu64 " with a prompt before\n",
            m->duplicate_items, m->duplicate_prompts);
    if (rc == OK && m->replacement_characters > 0)
        rc = add_number(out, "U+FFFD", true, m->replacement_characters);
    return rc;
}

/* Names of people's fields: escaped. */
static int add_unread(struct buf *out, const InspectedInput *m)
{
    int rc = m->n_unread > 0 ? label(out, "not read") : OK;

    for (size_t i = 0; rc == OK && i < m->n_unread; i++) {
        rc = buf_printf(out, "%s'", i ? ", " : "");
        if (rc == OK)
            rc = utf8_escape(out, m->unread[i]->name, strlen(m->unread[i]->name));
        if (rc == OK)
            rc = buf_printf(out, "' %" PRId64, m->unread[i]->value);
    }
    return rc == OK && m->n_unread > 0 ? buf_add(out, "\n", 1) : rc;
}

/* Each line of text behind `before`, escaped. */
static int add_lines(struct buf *out, const char *before, const char *text)
{
    int rc = OK;

    do {
        size_t n = strcspn(text, "\n");
        rc = buf_printf(out, "%s", before);
        if (rc == OK)
            rc = utf8_escape(out, text, n);
        if (rc == OK)
            rc = buf_add(out, "\n", 1);
        text += n + (text[n] == '\n');
    } while (rc == OK && *text);
    return rc;
}

static int add_texts(struct buf *out, const char *title, char *const *texts, size_t n)
{
    int rc = n > 0 ? buf_printf(out, "  %s\n", title) : OK;

    for (size_t i = 0; i < n && rc == OK; i++)
        rc = add_lines(out, "    ", texts[i]);
    return rc;
}

static int add_first(struct buf *out, const InspectedInput *m)
{
    int rc = OK;

    for (size_t i = 0; i < m->n_first && rc == OK; i++) {
        rc = buf_printf(out, "  %zu\n", i + 1);
        if (rc == OK)
            rc = add_lines(out, "  | ", m->first[i]);
    }
    return rc;
}

int import_table(struct buf *out, const InspectedInput *m)
{
    int rc = utf8_escape(out, m->path, strlen(m->path));

    if (rc == OK)
        rc = buf_printf(out, ": %s", m->items > 0 ? m->gives : "nothing that can be used");
    if (rc == OK)
        rc = m->files != 1 ? buf_printf(out, ", %" PRIu64 " files\n", m->files)
                           : buf_add(out, "\n", 1);
    if (rc == OK)
        rc = add_facts(out, "shape", m->shapes, m->n_shapes);
    if (rc == OK)
        rc = add_facts(out, "encoding", m->encodings, m->n_encodings);
    if (rc == OK)
        rc = add_number(out, "lines", m->has_lines, m->lines);
    if (rc == OK)
        rc = add_number(out, "  with text", m->has_lines, m->lines_with_text);
    if (rc == OK)
        rc = add_counts(out, m);
    if (rc == OK)
        rc = add_number(out, "files refused", m->refused > 0, m->refused);
    if (rc == OK)
        rc = add_unread(out, m);
    if (rc == OK)
        rc = add_facts(out, "languages", m->languages, m->n_languages);
    if (rc == OK)
        rc = add_spread(out, "document", m->documents, "characters");
    if (rc == OK)
        rc = add_spread(out, "prompt", m->prompts, "characters");
    if (rc == OK)
        rc = add_spread(out, "answer", m->answers, "characters");
    if (rc == OK)
        rc = add_spread(out, "turns", m->turns, "turns");
    if (rc == OK)
        rc = add_spread(out, "as the model sees", m->tokens, "tokens");
    if (rc == OK)
        rc = add_comparisons(out, m);
    if (rc == OK)
        rc = add_duplicates(out, m);
    if (rc == OK)
        rc = add_texts(out, "notes", m->notes, m->n_notes);
    if (rc == OK)
        rc = add_texts(out, "problems", m->problems, m->n_problems);
    if (rc == OK)
        rc = add_first(out, m);
    return rc == OK ? buf_add(out, "\n", 1) : rc;
}
