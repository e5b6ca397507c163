#include "workers/formats/tensor_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int model_new_of(struct model **out, const ModelConfig *c, uint64_t bytes,
    const struct import_options *o, struct err *e)
{
    ModelConfig checked = *c;
    int rc = model_config_check(&checked, e);

    if (rc == OK && model_floats(&checked) / 2 > bytes) /* the densest numbers have a byte each */
        rc = err_set(e, E_INPUT, "a configuration of %zu parameters, but %llu bytes of tensors",
            model_floats(&checked), (unsigned long long)bytes);
    if (rc == OK && o->admit)
        rc = o->admit(o->ctx, &checked, e);
    return rc == OK ? model_new(out, &checked, e) : rc;
}

/* A context may be cut: of learned positions the first are taken. */
static bool fits(const struct foreign *f, const struct tensor_view *v, size_t rows, size_t cols)
{
    if (v->cols == cols && v->rows > rows && strcmp(f->ours->name, "position_embedding") == 0)
        return true;
    return v->rows == rows && v->cols == cols;
}

static int check_shape(const struct foreign *f, const struct tensor_view *v, struct err *e)
{
    size_t rows = f->vector ? 1 : f->transpose ? f->cols : f->rows;
    size_t cols = f->vector || f->transpose ? f->rows : f->cols;

    if (fits(f, v, rows, cols))
        return OK;
    return err_set(e, E_INPUT, "tensor '%s' is %zu x %zu, not %zu x %zu as the configuration says",
        f->name, v->rows, v->cols, rows, cols);
}

static bool is_named(struct span name, const char *text)
{
    return strlen(text) == name.n && memcmp(text, name.p, name.n) == 0;
}

static bool has_place(const struct model *m, enum scheme s, struct span name)
{
    static const char front[] = "transformer."; /* GPT-2's own files do without it */
    struct foreign f;

    for (size_t at = 0; naming_next(&f, m, s, &at);)
        if (is_named(name, f.name) || (strncmp(f.name, front, sizeof front - 1) == 0 &&
                                          is_named(name, f.name + sizeof front - 1)))
            return true;
    return false;
}

/* What can be computed from the configuration, is there twice, or is read by itself. */
static bool is_spare(struct span name)
{
    static const char *const endings[] = { ".rotary_emb.inv_freq", ".attn.bias",
        ".attn.masked_bias", "rope_freqs.weight", "lm_head.weight", "score.weight" };

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        if (name.n >= n && memcmp((const char *)name.p + name.n - n, endings[i], n) == 0)
            return true;
    }
    return false;
}

/* What is left out would be lost in silence. */
static int check_places(
    const struct model *m, enum scheme s, const struct tensor_source *source, struct err *e)
{
    struct span name;

    for (size_t i = 0; (name = source->name(source->file, i)).p; i++)
        if (!has_place(m, s, name) && !is_spare(name))
            return err_set(e, E_INPUT,
                "tensor '%.*s' has no place in such a model: what it is for is not known here",
                (int)(name.n < 96 ? name.n : 96), (const char *)name.p);
    return OK;
}

/* It is not there, or its numbers cannot be read. */
static int not_found(const struct tensor_source *source, const char *wanted, struct err *e)
{
    struct span name;

    for (size_t i = 0; (name = source->name(source->file, i)).p; i++)
        if (is_named(name, wanted))
            return err_set(e, E_INPUT,
                "tensor '%s' has numbers of a type, or a shape, that is not read here", wanted);
    return err_set(e, E_INPUT, "tensor '%s' is missing", wanted);
}

static int check_finite(const struct foreign *f, const float *p, struct err *e)
{
    size_t n = f->rows * f->cols, i = 0;

    while (i < n && isfinite(p[i]))
        i++;
    return i == n ? OK
                  : err_set(e, E_INPUT, "tensor '%s': number %zu of %zu is not finite", f->name,
                        i + 1, n);
}

int model_fill(struct model *m, enum scheme s, const struct tensor_source *source, struct err *e)
{
    float *room = malloc(model_largest(&m->config) * sizeof *room);
    struct foreign f;
    int rc = room ? OK : err_set(e, E_NOMEM, "no memory for the tensors");

    for (size_t at = 0; rc == OK && naming_next(&f, m, s, &at);) {
        struct tensor_view v;
        if (!source->find(source->file, f.name, &v)) {
            rc = not_found(source, f.name, e);
            break;
        }
        rc = check_shape(&f, &v, e);
        if (rc == OK) {
            element_read(v.type, room, v.bytes.p, f.rows * f.cols);
            rc = check_finite(&f, room, e);
        }
        if (rc == OK)
            foreign_scatter(m, &f, room);
    }
    free(room);
    return rc == OK ? check_places(m, s, source, e) : rc;
}
