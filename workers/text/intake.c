#include "workers/text/intake_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [FATE_USED] = "used",
    [FATE_EMPTY] = "empty",
    [FATE_DUPLICATE] = "duplicate",
    [FATE_NOT_COMPARED] = "not_compared",
    [FATE_LABELLED_BAD] = "labelled_bad",
    [FATE_UNDECODABLE] = "undecodable",
    [FATE_BROKEN] = "broken",
};
_Static_assert(sizeof names / sizeof *names == FATES, "a name for each fate");

const char *fate_name(enum fate fate)
{
    return names[fate];
}

int intake_new(struct intake **out, struct err *e)
{
    *out = calloc(1, sizeof **out);
    return *out ? OK : err_set(e, E_NOMEM, "out of memory");
}

void intake_free(struct intake *im)
{
    if (!im)
        return;
    buf_free(&im->complaints);
    buf_free(&im->notes);
    hash_set_free(&im->seen);
    free(im);
}

const struct intake_counts *intake_counts(const struct intake *im)
{
    return &im->counts;
}

const char *intake_complaints(const struct intake *im)
{
    return im->complaints.p ? im->complaints.p : "";
}

const char *intake_notes(const struct intake *im)
{
    return im->notes.p ? im->notes.p : "";
}

int intake_note(struct intake *im, const struct source *s, struct err *e)
{
    Reading__Encoding encoding = source_encoding(s);

    if (encoding == READING__ENCODING__UTF8 || im->how->encoding == encoding)
        return OK;
    if (im->n_notes++ < COMPLAINTS &&
        buf_printf(&im->notes, "%s%s: read as %s", im->n_notes > 1 ? "\n" : "", source_path(s),
            encoding_name(encoding)) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    return OK;
}

/* ---- what is wrong ---- */

static bool stops(const struct intake *im)
{
    return !im->how || im->how->on_bad_record == READING__ON_BAD_RECORD__STOP;
}

static int complain(struct intake *im, const char *text, struct err *e)
{
    if (im->n_complaints < COMPLAINTS &&
        buf_printf(&im->complaints, "%s%s", im->n_complaints ? "\n" : "", text) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    im->n_complaints++;
    im->spoilt |= stops(im);
    return im->spoilt && im->n_complaints >= COMPLAINTS ? intake_verdict(im, e) : OK;
}

int intake_verdict(struct intake *im, struct err *e)
{
    if (!im->spoilt)
        return OK;
    im->judged = true;
    if (im->n_complaints == 1)
        return err_set(e, E_INPUT, "%s", im->complaints.p);
    return err_set(e, E_INPUT,
        "%s%u records are broken (`on_bad_record: skip` leaves such out):\n%s",
        im->n_complaints >= COMPLAINTS ? "the first " : "", im->n_complaints, im->complaints.p);
}

bool intake_judged(const struct intake *im)
{
    return im->judged;
}

/* A parser says "line:column: what" of the record alone. */
static void place(struct err *out, const char *path, size_t line, size_t number, const char *msg)
{
    size_t l = 0, column = 0;
    int n = 0;

    if (sscanf(msg, "%zu:%zu: %n", &l, &column, &n) == 2 && n > 0 && l > 0) {
        if (l > 1 || number == 0)
            err_set(out, E_INPUT, "%s:%zu:%zu: %s", path, line + l - 1, column, msg + n);
        else
            err_set(out, E_INPUT, "%s:%zu: record %zu: %s", path, line, number, msg + n);
    } else if (number > 0) {
        err_set(out, E_INPUT, "%s:%zu: record %zu: %s", path, line, number, msg);
    } else {
        err_set(out, E_INPUT, "%s:%zu: %s", path, line, msg);
    }
}

int intake_settle(struct intake *im, const struct source *s, size_t line, size_t number, int rc,
    enum fate fate, struct err *e)
{
    struct err told = ERR_INIT;

    if (rc != OK && rc != E_INPUT)
        return rc;
    if (rc == OK && fate == FATE_IN_PARTS)
        return OK;
    im->counts.read++;
    if (rc == E_INPUT && fate != FATE_UNDECODABLE)
        fate = FATE_BROKEN;
    im->counts.fates[fate]++;
    if (rc == OK)
        return OK;
    place(&told, source_path(s), line, number, e->msg);
    return complain(im, told.msg, e);
}

int intake_refuse(struct intake *im, const char *path, size_t line, struct err *e)
{
    struct err told = ERR_INIT;

    im->counts.refused++;
    place(&told, path, line, 0, e->msg);
    return complain(im, told.msg, e);
}

int intake_seen(bool *seen, struct intake *im, struct span text, struct err *e)
{
    struct id hash;
    uint64_t key;

    sha256(&hash, text.p, text.n);
    memcpy(&key, hash.b, sizeof key);
    return hash_set_add(seen, &im->seen, key, e);
}
