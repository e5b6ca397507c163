#include "orchestrator/cli/submission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "pipelines/pipeline.h"
#include "proto/json.h"
#include "store/records.h"

/* "stage.key=value" as two texts; copies of the paths are freed by the caller. */
static int split_settings(
    struct setting *out, char **paths, const struct option_texts *texts, struct err *e)
{
    for (size_t i = 0; i < texts->n; i++) {
        const char *equals = strchr(texts->items[i], '=');
        if (!equals || equals == texts->items[i])
            return err_set(
                e, E_INPUT, "--set: '%s' is not of the form STAGE.KEY=VALUE", texts->items[i]);
        paths[i] = strndup(texts->items[i], (size_t)(equals - texts->items[i]));
        if (!paths[i])
            return err_set(e, E_NOMEM, "out of memory");
        out[i] = (struct setting){ paths[i], equals + 1 };
    }
    return OK;
}

static void print_mistakes(const struct diags *d, const char *file)
{
    struct buf text = { 0 };
    size_t n = diags_count(d);

    if (diags_print(d, &text) == OK)
        fputs(text.p, stderr);
    fprintf(stderr, "error: %s has %zu mistake%s\n", file, n, n == 1 ? "" : "s");
    buf_free(&text);
}

int submission_load(Submit **out, const char *file, const struct option_texts *settings,
    size_t *mistakes, int *exit_code)
{
    struct setting list[OPTION_TEXTS_MAX];
    char *paths[OPTION_TEXTS_MAX] = { NULL };
    struct diags *d = diags_new();
    struct err e = ERR_INIT;
    int rc = d ? OK : err_set(&e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = split_settings(list, paths, settings, &e);
    if (rc != OK) {
        *exit_code = complain(&e);
        *exit_code = rc == E_INPUT ? EXIT_USAGE : *exit_code;
    } else if ((rc = pipeline_load(out, file, list, settings->n, d, &e)) != OK) {
        *exit_code = diags_count(d) > 0 ? EXIT_BAD_DATA : complain(&e);
        if (diags_count(d) > 0)
            print_mistakes(d, file);
    }
    if (mistakes)
        *mistakes = d ? diags_count(d) : 0;
    for (size_t i = 0; i < settings->n; i++)
        free(paths[i]);
    diags_free(d);
    return rc;
}

/* What the file says of how an input is read. */
static Reading reading_of(const Input *one)
{
    Reading how = READING__INIT;

    how.has_split = how.has_encoding = how.has_on_bad_record = how.has_keep_duplicates = true;
    how.split = one->split;
    how.encoding = one->encoding;
    how.on_bad_record = one->on_bad_record;
    how.keep_duplicates = one->keep_duplicates;
    how.format = one->format;
    return how;
}

int submission_take_inputs(Submit *m, const char *home, struct err *e)
{
    const Pipeline *p = m->pipeline;
    struct store *s = NULL;
    int rc = store_open(&s, home, true, e);

    m->inputs = rc == OK ? calloc(p->n_inputs + 1, sizeof *m->inputs) : NULL;
    if (rc == OK && !m->inputs)
        rc = err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < p->n_inputs && rc == OK; i++) {
        TakenInput *t = malloc(sizeof *t);
        Reading how = reading_of(p->inputs[i]);
        struct files_left left = { 0 };
        char text[160];
        if (!t) {
            rc = err_set(e, E_NOMEM, "out of memory");
            break;
        }
        taken_input__init(t);
        m->inputs[m->n_inputs++] = t;
        t->name = strdup(p->inputs[i]->name);
        rc = t->name ? files_take(&t->artifact, s, p->inputs[i]->path, &how, &left, e)
                     : err_set(e, E_NOMEM, "out of memory");
        if (rc == OK && files_left_say(text, sizeof text, &left))
            fprintf(stderr, "note: input '%s': %s\n", p->inputs[i]->name, text);
        if (rc != OK)
            err_wrap(e, "input '%s'", p->inputs[i]->name);
    }
    store_close(s);
    return rc;
}

/* ---- `jielong validate` ---- */

static int print_valid(const struct command_line *l, const Submit *m)
{
    struct buf text = { 0 };
    int rc = OK;

    if (l->json) {
        rc = buf_printf(&text, "{\"schema\": 1, \"valid\": true, \"pipeline\": ");
        if (rc == OK)
            rc = json_string(&text, m->pipeline->name, strlen(m->pipeline->name));
        if (rc == OK)
            rc = buf_printf(&text, ", \"stages\": %zu, \"inputs\": %zu}\n", m->pipeline->n_stages,
                m->pipeline->n_inputs);
    } else {
        rc = buf_printf(&text, "%s is right: %zu stages, %zu inputs\n", m->pipeline->name,
            m->pipeline->n_stages, m->pipeline->n_inputs);
    }
    if (rc == OK)
        fputs(text.p, stdout);
    buf_free(&text);
    return rc == OK ? EXIT_DONE : EXIT_INTERNAL;
}

int validate_command(struct command_line *l)
{
    struct option_texts settings = { .n = 0 };
    const struct option_row rows[] = { SUBMISSION_SET(&settings) };
    Submit *m = NULL;
    size_t mistakes = 0;
    int exit_code = EXIT_DONE;

    if (!command_begin(l, rows, 1, 1, 1))
        return l->exit_code;
    if (submission_load(&m, l->args[0], &settings, &mistakes, &exit_code) == OK)
        exit_code = print_valid(l, m);
    else if (l->json)
        printf("{\"schema\": 1, \"valid\": false, \"mistakes\": %zu}\n", mistakes);
    message_free(m);
    return exit_code;
}
