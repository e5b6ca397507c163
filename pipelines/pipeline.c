#include "pipelines/pipeline.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipelines/draft.h"
#include "pipelines/expand.h"
#include "pipelines/kinds.h"
#include "pipelines/locate.h"
#include "pipelines/ranges.h"
#include "proto/yaml.h"

#define FILE_BYTES (1u << 20)

/* A rubric file: read while the pipeline is checked, parsed once all that is wrong with the
 * pipeline itself has been told, for diagnostics are about one file after the other. */
struct rubric_file {
    char *path, *text; /* text NULL: cannot be read */
    size_t n;
    NamedRubric *into; /* borrowed from the submission */
};

struct loading {
    const char *path;
    char *folder; /* of the pipeline file: "" or with a '/' at its end */
    struct diags *d;
    struct err *e;
    struct yaml *yaml;
    Submit *submit;
    const struct setting *settings;
    size_t n_settings;
    struct err *refused; /* for each setting: why; code OK: it was not */
    struct mistakes mistakes;
    struct rubric_file *rubrics;
    size_t n_rubrics;
    bool read_with_mistakes; /* the reader has told some already */
};

static int out_of_memory(struct loading *l)
{
    return err_set(l->e, E_NOMEM, "out of memory");
}

/* A path in the file is relative to the file. */
static char *path_in(const char *folder, const char *path)
{
    struct buf b = { 0 };

    if (buf_printf(&b, "%s%s", path[0] == '/' ? "" : folder, path) == OK)
        return b.p;
    buf_free(&b);
    return NULL;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
}

/* ---- the file and the settings ---- */

static int read_pipeline(struct loading *l)
{
    struct err why = ERR_INIT;
    Pipeline *p = NULL;
    char *text = NULL;
    size_t n = 0;
    int rc = file_read(&text, &n, l->path, FILE_BYTES, &why);

    if (rc == E_NOMEM || diags_file(l->d, l->path, text ? text : "", n) != OK) {
        free(text);
        return out_of_memory(l);
    }
    if (rc != OK)
        diags_add(l->d, 0, 0, 1, NULL, "%s", why.msg);
    else
        rc = yaml_parse(&l->yaml, text, n, l->d);
    free(text);
    if (rc == OK)
        rc = yaml_message((ProtobufCMessage **)&p, &pipeline__descriptor, yaml_root(l->yaml), l->d);
    if (rc == OK)
        l->submit->pipeline = p;
    l->read_with_mistakes = diags_count(l->d) > 0;
    return rc == E_NOMEM ? out_of_memory(l)
           : rc == OK    ? OK
                         : err_set(l->e, E_INPUT, "'%s'", l->path);
}

static int apply_settings(struct loading *l)
{
    l->refused = calloc(l->n_settings + 1, sizeof *l->refused);
    if (!l->refused)
        return out_of_memory(l);
    for (size_t i = 0; i < l->n_settings; i++) {
        const struct setting *s = &l->settings[i];
        if (yaml_override(&l->submit->pipeline->base, s->path, s->value, &l->refused[i]) == E_NOMEM)
            return out_of_memory(l);
    }
    check_written(l->submit->pipeline, &l->mistakes);
    message_fill_defaults(&l->submit->base);
    return OK;
}

/* ---- files that it names ---- */

static void check_input(struct loading *l, uint32_t i, const char *path)
{
    struct site at = site_of(SITE_INPUT, i, "path");
    struct err why = ERR_INIT;
    struct stat st;

    if (stat(path, &st) != 0 || access(path, S_ISDIR(st.st_mode) ? R_OK | X_OK : R_OK) != 0) {
        err_errno(&why, "cannot read '%s'", path);
        mistake_add(&l->mistakes, &at,
            path[0] == '/' ? NULL : "paths are relative to the pipeline file", "%s", why.msg);
    } else if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
        mistake_add(&l->mistakes, &at, NULL, "'%s' is neither a file nor a folder", path);
    }
}

static int check_inputs(struct loading *l)
{
    const Pipeline *p = l->submit->pipeline;

    for (uint32_t i = 0; i < p->n_inputs; i++) {
        char *path;
        if (p->inputs[i]->path[0] == '\0')
            continue; /* told by the check */
        path = path_in(l->folder, p->inputs[i]->path);
        if (!path)
            return out_of_memory(l);
        check_input(l, i, path);
        free(path);
    }
    return OK;
}

static NamedRubric *new_rubric(struct loading *l, const char *name)
{
    Submit *s = l->submit;
    NamedRubric **more = realloc(s->rubrics, (s->n_rubrics + 1) * sizeof(*more));
    NamedRubric *one = malloc(sizeof *one);

    if (more)
        s->rubrics = more;
    if (!more || !one) {
        free(one);
        return NULL;
    }
    named_rubric__init(one);
    more[s->n_rubrics++] = one;
    one->path = strdup(name);
    one->rubric = malloc(sizeof *one->rubric);
    if (!one->path || !one->rubric)
        return NULL;
    rubric__init(one->rubric);
    return one;
}

static int read_rubric(struct loading *l, const char *name, struct site at)
{
    struct rubric_file *more = realloc(l->rubrics, (l->n_rubrics + 1) * sizeof *more);
    struct err why = ERR_INIT;
    struct rubric_file *one;
    int rc;

    if (!more)
        return out_of_memory(l);
    l->rubrics = more;
    one = &more[l->n_rubrics++];
    *one = (struct rubric_file){ .path = path_in(l->folder, name), .into = new_rubric(l, name) };
    if (!one->path || !one->into)
        return out_of_memory(l);
    rc = file_read(&one->text, &one->n, one->path, FILE_BYTES, &why);
    if (rc == E_NOMEM)
        return out_of_memory(l);
    if (rc != OK)
        mistake_add(&l->mistakes, &at,
            name[0] == '/' ? NULL : "paths are relative to the pipeline file", "%s", why.msg);
    return OK;
}

static bool rubric_known(const struct loading *l, const char *name)
{
    for (size_t i = 0; i < l->submit->n_rubrics; i++)
        if (strcmp(l->submit->rubrics[i]->path, name) == 0)
            return true;
    return false;
}

static int read_rubrics(struct loading *l)
{
    const Pipeline *p = l->submit->pipeline;
    int rc = OK;

    for (uint32_t i = 0; i < p->n_stages && rc == OK; i++) {
        const char *name = stage_rubric(p->stages[i]);
        const struct kind *k = kind_of(p->stages[i]);
        if (name && !rubric_known(l, name))
            rc = read_rubric(
                l, name, site_key(site_of(SITE_STAGE, i, k->rubric.field), k->rubric.inner));
    }
    return rc;
}

/* ---- telling ---- */

/* The setting that has put the value there, the last of several; n_settings: none. */
static size_t setting_of(const struct loading *l, const struct site *at)
{
    for (size_t i = l->n_settings; i-- > 0;)
        if (l->refused[i].code == OK && site_covers(at, l->submit->pipeline, l->settings[i].path))
            return i;
    return l->n_settings;
}

static void tell_in_file(struct loading *l)
{
    for (size_t i = 0; i < l->mistakes.n; i++) {
        const struct mistake *one = &l->mistakes.items[i];
        int line, column, width;
        bool written =
            site_place(&one->at, yaml_root(l->yaml), l->submit->pipeline, &line, &column, &width);
        if (setting_of(l, &one->at) < l->n_settings)
            continue;
        if (l->read_with_mistakes &&
            one->reader & (written ? READER_TELLS_WRONG : READER_TELLS_MISSING))
            continue;
        diags_add(l->d, line, column, width, one->help, "%s", one->what);
    }
}

/* What is wrong with a setting is shown as its own text: path=value. */
static int tell_setting(struct loading *l, size_t i)
{
    const struct setting *s = &l->settings[i];
    int columns = (int)strlen(s->path), rc;
    struct buf text = { 0 };

    rc = buf_printf(&text, "%s=%s", s->path, s->value);
    if (rc == OK)
        rc = diags_file(l->d, "--set", text.p, text.n);
    if (rc == OK && l->refused[i].code != OK) {
        const char *help, *what = refusal_what(l->refused[i].msg, s->path, s->value, &help);
        diags_add(l->d, 1, 1, columns, help, "%s", what);
    }
    for (size_t k = 0; k < l->mistakes.n && rc == OK; k++)
        if (setting_of(l, &l->mistakes.items[k].at) == i)
            diags_add(l->d, 1, columns + 2, (int)strlen(s->value), l->mistakes.items[k].help, "%s",
                l->mistakes.items[k].what);
    buf_free(&text);
    return rc == OK ? OK : out_of_memory(l);
}

static int tell_settings(struct loading *l)
{
    int rc = OK;

    for (size_t i = 0; i < l->n_settings && rc == OK; i++) {
        bool wrong = l->refused[i].code != OK;
        for (size_t k = 0; k < l->mistakes.n && !wrong; k++)
            wrong = setting_of(l, &l->mistakes.items[k].at) == i;
        if (wrong)
            rc = tell_setting(l, i);
    }
    return rc;
}

/* ---- rubrics ---- */

static int parse_rubric(struct loading *l, const struct rubric_file *file)
{
    struct mistakes found = { 0 };
    struct yaml *y = NULL;
    Rubric *r = NULL;
    int line, column, width;
    size_t before = diags_count(l->d), told;
    int rc = diags_file(l->d, file->path, file->text, file->n);

    if (rc == OK)
        rc = yaml_parse(&y, file->text, file->n, l->d);
    if (rc == OK)
        rc = yaml_message((ProtobufCMessage **)&r, &rubric__descriptor, yaml_root(y), l->d);
    if (rc == OK) {
        message_fill_defaults(&r->base);
        rubric_check(&found, site_of(SITE_PIPELINE, 0, NULL), r);
        message_free(file->into->rubric);
        file->into->rubric = r;
    }
    told = diags_count(l->d) - before;
    for (size_t i = 0; i < found.n; i++) {
        if (told > 0 && found.items[i].reader)
            continue; /* by the reader */
        site_place(&found.items[i].at, yaml_root(y), NULL, &line, &column, &width);
        diags_add(l->d, line, column, width, found.items[i].help, "%s", found.items[i].what);
    }
    mistakes_free(&found);
    yaml_free(y);
    return rc == E_NOMEM ? out_of_memory(l) : OK;
}

static int parse_rubrics(struct loading *l)
{
    int rc = OK;

    for (size_t i = 0; i < l->n_rubrics && rc == OK; i++)
        if (l->rubrics[i].text)
            rc = parse_rubric(l, &l->rubrics[i]);
    return rc;
}

/* ---- all of it ---- */

static int make_absolute(struct loading *l)
{
    Pipeline *p = l->submit->pipeline;
    const char *slash = strrchr(l->path, '/');
    char *folder = realpath(l->folder[0] ? l->folder : ".", NULL), *path;
    struct buf b = { 0 };
    int rc = OK;

    if (!folder)
        return err_errno(l->e, "'%s'", l->path);
    if (buf_printf(&b, "%s%s", folder, folder[1] ? "/" : "") != OK)
        rc = out_of_memory(l);
    for (size_t i = 0; i < p->n_inputs && rc == OK; i++) {
        path = path_in(b.p, p->inputs[i]->path);
        rc = path ? OK : out_of_memory(l);
        if (rc == OK) {
            free(p->inputs[i]->path);
            p->inputs[i]->path = path;
        }
    }
    if (rc == OK) {
        l->submit->file = path_in(b.p, slash ? slash + 1 : l->path);
        rc = l->submit->file ? OK : out_of_memory(l);
    }
    buf_free(&b);
    free(folder);
    return rc;
}

static int load(struct loading *l)
{
    struct plan *plan = NULL;
    int rc = read_pipeline(l);

    if (rc == OK)
        rc = apply_settings(l);
    if (rc == OK)
        rc = check_inputs(l);
    if (rc == OK)
        rc = read_rubrics(l);
    if (rc == OK)
        rc = plan_expand(&plan, l->submit, &l->mistakes, l->e);
    plan_free(plan);
    if (rc == OK && l->mistakes.no_memory)
        rc = out_of_memory(l);
    if (rc == OK) {
        tell_in_file(l);
        rc = tell_settings(l);
    }
    if (rc == OK)
        rc = parse_rubrics(l);
    if (rc == OK && diags_count(l->d) > 0)
        rc = err_set(l->e, E_INPUT, "'%s' has mistakes", l->path);
    if (rc == OK)
        rc = make_absolute(l);
    return rc;
}

int pipeline_load(Submit **out, const char *path, const struct setting *settings, size_t n,
    struct diags *d, struct err *e)
{
    struct loading l = { .path = path, .d = d, .e = e, .settings = settings, .n_settings = n };
    int rc;

    l.submit = malloc(sizeof *l.submit);
    l.folder = folder_of(path);
    if (l.submit)
        submit__init(l.submit);
    rc = l.submit && l.folder ? load(&l) : out_of_memory(&l);
    if (rc == OK) {
        *out = l.submit;
        l.submit = NULL;
    }
    for (size_t i = 0; i < l.n_rubrics; i++) {
        free(l.rubrics[i].path);
        free(l.rubrics[i].text);
    }
    free(l.rubrics);
    free(l.refused);
    free(l.folder);
    mistakes_free(&l.mistakes);
    yaml_free(l.yaml);
    message_free(l.submit);
    return rc;
}
