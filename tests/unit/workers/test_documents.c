#include "tests/unit/workers/people.h"

#include <sys/stat.h>
#include <unistd.h>

#include "store/records.h"

/* ---- through the store ---- */

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    struct err e = ERR_INIT;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_write(path, text, strlen(text), &e), OK);
}

static void take(struct id *out, struct store *s, const char *path, Split split)
{
    struct err e = ERR_INIT;
    Reading how = READING__INIT;
    Output *taken = NULL;

    how.has_split = true;
    how.split = split;
    assert_int_equal(files_take(&taken, s, path, &how, NULL, &e), OK);
    assert_true(id_from_span(out, taken->id.data, taken->id.len));
    message_free(taken);
}

static void folders_are_read_from_the_store(void **state)
{
    char home[] = "/tmp/jielong-documents-XXXXXX", folder[64], command[64];
    struct seen s = { 0 };
    struct store *store = NULL;
    struct intake *im = NULL;
    struct err e = ERR_INIT;
    struct id id;

    (void)state;
    assert_non_null(mkdtemp(home));
    snprintf(folder, sizeof folder, "%s/in", home);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(store_open(&store, home, true, &e), OK);
    assert_int_equal(intake_new(&im, &e), OK);
    write_file(folder, "b.txt", "three\nfour\n");
    write_file(folder, "a.txt", "one\n\ntwo\n");
    take(&id, store, folder, SPLIT__LINE);
    assert_int_equal(documents_each(im, store, &id, see_document, &s, &e), OK);
    assert_string_equal(s.text.p, "one|two|three|four");
    s.text.n = s.n = 0;
    assert_int_equal(prompts_each(im, store, &id, see_prompt, &s, &e), OK);
    assert_string_equal(s.text.p, "1(en) u:one|2(en) u:two|3(en) u:three|4(en) u:four");
    s.text.n = s.n = 0;
    s.stop_after = 3;
    assert_int_equal(prompts_each(im, store, &id, see_prompt, &s, &e), OK);
    assert_int_equal(s.n, 3);
    s.stop_after = 0;
    take(&id, store, folder, SPLIT__FILE);
    s.text.n = s.n = 0;
    assert_int_equal(documents_each(im, store, &id, see_document, &s, &e), OK);
    assert_string_equal(s.text.p, "one\n\ntwo\n|three\nfour\n");
    assert_int_equal(demonstrations_each(im, store, &id, see_conversation, &s, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "a.txt:1: neither a JSON array nor JSON Lines"));
    assert_int_equal(rankings_each(im, store, &id, see_ranking, &s, &e), E_INPUT);
    buf_free(&s.text);
    intake_free(im);
    store_close(store);
    snprintf(command, sizeof command, "rm -rf %s", home);
    assert_int_equal(system(command), 0);
}

static void a_real_folder_gives_a_document_for_each_file(void **state)
{
    char home[] = "/tmp/jielong-documents-XXXXXX", path[1024], command[64];
    const char *shared = getenv("JIELONG_SHARED");
    struct seen s = { 0 };
    struct store *store = NULL;
    struct intake *im = NULL;
    struct err e = ERR_INIT;
    struct id id;

    (void)state;
    snprintf(path, sizeof path, "%s/data/raw/classical_zh", shared ? shared : "");
    if (access(path, R_OK) != 0)
        skip();
    assert_non_null(mkdtemp(home));
    assert_int_equal(store_open(&store, home, true, &e), OK);
    assert_int_equal(intake_new(&im, &e), OK);
    take(&id, store, path, SPLIT__FILE);
    assert_int_equal(documents_each(im, store, &id, see_document, &s, &e), OK);
    assert_int_equal(s.n, 120);
    buf_free(&s.text);
    intake_free(im);
    store_close(store);
    snprintf(command, sizeof command, "rm -rf %s", home);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_read_from_the_store),
        cmocka_unit_test(a_real_folder_gives_a_document_for_each_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
