#include "workers/formats/tensor_source.h"

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

int model_fill(struct model *m, enum scheme s, const struct tensor_source *source, struct err *e)
{
    float *room = malloc(model_largest(&m->config) * sizeof *room);
    struct foreign f;
    int rc = room ? OK : err_set(e, E_NOMEM, "no memory for the tensors");

    for (size_t at = 0; rc == OK && naming_next(&f, m, s, &at);) {
        struct tensor_view v;
        if (!source->find(source->file, f.name, &v)) {
            rc = err_set(e, E_INPUT, "tensor '%s' is missing", f.name);
            break;
        }
        rc = check_shape(&f, &v, e);
        if (rc == OK) {
            element_read(v.type, room, v.bytes.p, f.rows * f.cols);
            foreign_scatter(m, &f, room);
        }
    }
    free(room);
    return rc;
}
