#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/web/exposition.h"

/* The text format as Prometheus reads it: what promtool would say, checked by rules of our own. */

static bool is_name(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(s[i] == '_' || (s[i] >= 'a' && s[i] <= 'z') || (i > 0 && s[i] >= '0' && s[i] <= '9')))
            return false;
    return n > 0;
}

/* {name="value",…}; returns what follows. */
static const char *labels(const char *at)
{
    assert_int_equal(*at, '{');
    do {
        size_t n = strcspn(++at, "=");
        assert_true(is_name(at, n));
        at += n + 1;
        assert_int_equal(*at++, '"');
        for (; *at != '"'; at++) {
            assert_true(*at && *at != '\n');
            if (*at == '\\')
                assert_non_null(strchr("\\\"n", *++at));
        }
        at++;
    } while (*at == ',');
    assert_int_equal(*at, '}');
    return at + 1;
}

/* One sample of the metric that was announced last. */
static void sample(const char *line, const char *metric)
{
    size_t n = strcspn(line, "{ "), own = strlen(metric);
    char *end;

    assert_true(is_name(line, n) && n >= own && !strncmp(line, metric, own));
    if (n > own) {
        char rest[16] = "";
        snprintf(rest, sizeof rest, "%.*s", (int)(n - own), line + own);
        assert_true(!strcmp(rest, "_bucket") || !strcmp(rest, "_sum") || !strcmp(rest, "_count"));
    }
    line += n;
    if (*line == '{')
        line = labels(line);
    assert_int_equal(*line, ' ');
    strtod(line + 1, &end);
    assert_true(end > line + 1 && *end == '\0');
}

/* Every metric once, HELP, TYPE, samples; counters end in _total. */
static int check(char *text)
{
    char metric[128] = "", seen[4096] = "", word[130];
    int n = 0;

    assert_int_equal(text[strlen(text) - 1], '\n');
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (!strncmp(line, "# HELP ", 7)) {
            assert_int_equal(sscanf(line + 7, "%127s", metric), 1);
            assert_true(is_name(metric, strlen(metric)) && !strncmp(metric, "jielong_", 8));
            snprintf(word, sizeof word, " %s ", metric);
            assert_null(strstr(seen, word));
            strcat(seen, word);
            assert_true(strlen(line) > 8 + strlen(metric));
        } else if (!strncmp(line, "# TYPE ", 7)) {
            char type[16] = "";
            assert_int_equal(sscanf(line + 7, "%127s %15s", word, type), 2);
            assert_string_equal(word, metric);
            bool counter = !strcmp(type, "counter");
            assert_true(counter || !strcmp(type, "gauge") || !strcmp(type, "histogram"));
            size_t end = strlen(metric);
            assert_int_equal(counter, end > 6 && !strcmp(metric + end - 6, "_total"));
        } else {
            sample(line, metric);
            n++;
        }
    }
    return n;
}

static void without_orchestrator_only_up_is_told(void **unused)
{
    struct buf text = { 0 };

    (void)unused;
    assert_int_equal(exposition(&text, NULL), OK);
    assert_non_null(strstr(text.p, "\njielong_up 0\n"));
    assert_int_equal(check(text.p), 1);
    buf_free(&text);
}

static void all_is_told_in_the_text_format(void **unused)
{
    struct buf text = { 0 };
    Stats s = STATS__INIT;
    Count running = COUNT__INIT, lost = COUNT__INIT;
    Count *jobs[] = { &running }, *failed[] = { &lost };
    WorkerStatus w = WORKER_STATUS__INIT, *workers[] = { &w };
    uint64_t waited[] = { 5, 0, 2, 0, 0, 0, 0, 0, 0, 1 };

    (void)unused;
    running.name = "running";
    running.value = 3;
    lost.name = "worker lost";
    lost.value = 4;
    w.name = "a \"b\" \\ c\nd";
    w.state = "busy";
    w.host = "接龙";
    w.executor_memory = 12345;
    s.jobs = jobs;
    s.failed = failed;
    s.n_jobs = s.n_failed = 1;
    s.workers = workers;
    s.n_workers = 1;
    s.dispatched = waited;
    s.n_dispatched = 10;
    s.waited = 0.25;
    assert_int_equal(exposition(&text, &s), OK);
    assert_non_null(strstr(text.p, "\njielong_jobs{state=\"running\"} 3\n"));
    assert_non_null(strstr(text.p, "\njielong_lease_losses_total 4\n"));
    assert_non_null(strstr(text.p, "{worker=\"a \\\"b\\\" \\\\ c\\nd\",host=\"接龙\"} 12345\n"));
    assert_non_null(strstr(text.p, "_bucket{le=\"0.001\"} 5\n"));
    assert_non_null(strstr(text.p, "_bucket{le=\"0.025\"} 7\n"));
    assert_non_null(strstr(text.p, "_bucket{le=\"600\"} 7\n"));
    assert_non_null(strstr(text.p, "_bucket{le=\"+Inf\"} 8\n"));
    assert_non_null(strstr(text.p, "_sum 0.250\n"));
    assert_non_null(strstr(text.p, "_count 8\n"));
    assert_non_null(strstr(text.p, "jielong_workers{state=\"busy\"} 1\n"));
    assert_true(check(text.p) > 25);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_orchestrator_only_up_is_told),
        cmocka_unit_test(all_is_told_in_the_text_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
