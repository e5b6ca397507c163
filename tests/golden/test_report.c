#include "tests/unit/workers/chain.h"

#include <math.h>

/* A report from fixed scores, in its three forms, byte for byte as in tests/golden/report. After a
 * change that is meant, JIELONG_GOLDEN=write in the environment writes them anew. */

struct scores {
    struct chain c;
    struct records_writer *w;
};

static void start_scores(struct scores *s)
{
    chain_check(&s->c, records_create(&s->w, s->c.store, ARTIFACT_KIND__SCORES, &s->c.e));
}

static struct id end_scores(struct scores *s)
{
    Output *o = NULL;
    struct id id;

    chain_check(&s->c, records_commit(s->w, "scores", &o, &s->c.e));
    id_from_span(&id, o->id.data, o->id.len);
    message_free(o);
    return id;
}

static void add_record(struct scores *s, Scored *x, const char *part)
{
    x->part = (char *)(uintptr_t)part;
    chain_check(&s->c, records_add(s->w, &x->base, &s->c.e));
}

static Prompt *prompt(const char *text, const char *lang, char **accepted)
{
    static Prompt p;
    static Turn turn, *turns[] = { &turn };

    prompt__init(&p);
    turn__init(&turn);
    turn.has_role = 1;
    turn.role = ROLE__USER;
    turn.text = (char *)(uintptr_t)text;
    p.turns = turns;
    p.n_turns = 1;
    p.lang = (char *)(uintptr_t)lang;
    p.accepted = accepted;
    p.n_accepted = accepted ? 1 : 0;
    return &p;
}

/* Text that wants to be more than text. */
static const char hostile[] =
    "<script>alert('x')</script> \"a\" & <b>\n| *c* \x1b[31m `d` \xe2\x80\xae";

static void add_answer(struct scores *s, const char *part, uint32_t at, const char *text,
    double gold, double reward, bool ended)
{
    static char *accepted[] = { "玉山" };
    static const char *const prompts[] = { "台湾最高的山是哪座?", hostile,
        "What is the highest mountain in Taiwan?" };
    static const char *const langs[] = { "zh", "", "en" };
    Scored x = SCORED__INIT;
    Answer a = ANSWER__INIT;

    a.text = (char *)(uintptr_t)text;
    a.has_ended = x.has_prompt_index = x.has_length = x.has_repetition = 1;
    a.ended = ended;
    x.answer = &a;
    x.prompt_index = at;
    x.prompt = prompt(prompts[at], langs[at], accepted);
    x.length = (uint32_t)strlen(text);
    x.repetition = .125;
    x.has_gold = x.has_right = x.has_answers = x.has_reward = x.has_kl = 1;
    x.gold = gold;
    x.right = gold > 1;
    x.answers = gold > .5;
    x.reward = reward;
    x.kl = reward > 0 ? reward / 4 : 0;
    add_record(s, &x, part);
}

static void add_next(struct scores *s)
{
    TokenProbability t[3], *pointers[3] = { &t[0], &t[1], &t[2] };
    static uint8_t half[] = { 0xe4, 0xb8 }, line[] = "\n<", word[] = "玉";
    Scored x = SCORED__INIT;

    for (int i = 0; i < 3; i++) {
        token_probability__init(&t[i]);
        t[i].has_id = t[i].has_token = t[i].has_probability = 1;
        t[i].id = (uint32_t)i + 1;
        t[i].probability = .5 / (i + 1);
    }
    t[0].token = (ProtobufCBinaryData){ 3, word };
    t[1].token = (ProtobufCBinaryData){ 2, line };
    t[2].token = (ProtobufCBinaryData){ 2, half };
    x.prompt = prompt("你好", NULL, NULL);
    x.next = pointers;
    x.n_next = 3;
    add_record(s, &x, "next_token");
}

static void add_text(struct scores *s, double nats)
{
    Scored x = SCORED__INIT;

    x.has_nats = x.has_bytes = 1;
    x.nats = nats;
    x.bytes = 1000;
    add_record(s, &x, "text");
}

/* Proxy always up; gold up to iteration 20, then down. */
static void add_curve(struct scores *s)
{
    for (uint32_t i = 0; i < 40; i++) {
        Scored x = SCORED__INIT;
        CurvePoint p = CURVE_POINT__INIT;
        p.has_iteration = p.has_kl = p.has_score = p.has_gold = p.has_length = p.has_end_rate =
            p.has_repetition = 1;
        p.iteration = i;
        p.kl = i * i / 64.;
        p.score = i / 16.;
        p.gold = 2 - (i - 20.) * (i - 20.) / 256 + (i % 2 ? .03125 : -.03125);
        p.length = 20 - i / 4.;
        p.end_rate = .5 + i / 80.;
        p.repetition = i > 20 ? (i - 20) / 64. : 0;
        x.curve = &p;
        add_record(s, &x, "curve");
    }
}

static void set_accuracy(AccuracyBin *b, Interval *i, int least, int most, uint32_t pairs, double p)
{
    accuracy_bin__init(b);
    interval__init(i);
    i->has_mean = i->has_ci95 = 1;
    i->mean = p;
    i->ci95 = .0625;
    b->has_least = least > -100;
    b->least = least;
    b->has_most = most < 100;
    b->most = most;
    b->has_pairs = 1;
    b->pairs = pairs;
    b->accuracy = i;
}

static void add_reward_model(struct scores *s)
{
    AccuracyBin bins[3], *pointers[3] = { &bins[0], &bins[1], &bins[2] };
    CalibrationBin c[2], *cs[2] = { &c[0], &c[1] };
    Interval i[3], accuracy = INTERVAL__INIT, ceiling = INTERVAL__INIT;
    RewardReport r = REWARD_REPORT__INIT;
    Scored x = SCORED__INIT;

    set_accuracy(&bins[0], &i[0], -100, -4, 60, .75);
    set_accuracy(&bins[1], &i[1], -3, 3, 30, .625);
    set_accuracy(&bins[2], &i[2], 4, 100, 10, .5);
    for (int k = 0; k < 2; k++) {
        calibration_bin__init(&c[k]);
        c[k].has_least = c[k].has_most = c[k].has_pairs = c[k].has_predicted = c[k].has_observed =
            1;
        c[k].least = .5 + .25 * k;
        c[k].most = .75 + .25 * k;
        c[k].pairs = 50;
        c[k].predicted = .625 + .25 * k;
        c[k].observed = .5 + .25 * k;
    }
    accuracy.has_mean = accuracy.has_ci95 = ceiling.has_mean = ceiling.has_ci95 = 1;
    accuracy.mean = .6875;
    accuracy.ci95 = .03125;
    ceiling.mean = .875;
    ceiling.ci95 = .015625;
    r.has_prompts = r.has_pairs = r.has_calibration_error = r.has_length_bias = 1;
    r.prompts = 20;
    r.pairs = 100;
    r.accuracy = &accuracy;
    r.ceiling = &ceiling;
    r.by_length = pointers;
    r.n_by_length = 3;
    r.calibration = cs;
    r.n_calibration = 2;
    r.calibration_error = .125;
    r.length_bias = -.25;
    x.reward_model = &r;
    add_record(s, &x, "reward_model");
}

/* One shard each of two models: what the first and the second say. */
static struct id scores_of(struct scores *s, bool trained)
{
    double better = trained ? .75 : 0;

    start_scores(s);
    add_answer(s, "heldout", 1, hostile, .5, -1, false);
    add_answer(
        s, "heldout", 0, trained ? "玉山。" : "谁来告诉我呀?", .5 + better, better - .5, true);
    add_answer(
        s, "heldout", 2, trained ? "Yushan." : "Who can tell?", .75 + better, better, trained);
    for (int i = 0; i < 4; i++)
        add_answer(s, "best_of", 0, "玉山。", .25 * i, i - 1.5 + better, true);
    add_text(s, trained ? 900 : 800);
    add_next(s);
    add_answer(s, "say", 1, hostile, 0, -2, false);
    add_answer(s, "outside", 0, "42", 0, -2, true);
    if (trained)
        add_curve(s);
    add_reward_model(s);
    return end_scores(s);
}

/* ---- the files ---- */

static void file_name(char out[512], const char *file)
{
    const char *source = getenv("JIELONG_SOURCE");

    snprintf(out, 512, "%s/tests/golden/report/%s", source ? source : ".", file);
}

static int check_file(void *ctx, const char *path, struct span bytes, struct err *e)
{
    bool writes = getenv("JIELONG_GOLDEN") && strcmp(getenv("JIELONG_GOLDEN"), "write") == 0;
    char *golden = NULL, name[512];
    size_t n = 0;

    file_name(name, path);
    if (writes)
        return file_write(name, bytes.p, bytes.n, e);
    if (file_read(&golden, &n, name, 1 << 20, e) != OK)
        fail_msg("%s", e->msg);
    if (n != bytes.n || memcmp(golden, bytes.p, n) != 0)
        fail_msg("%s is not what it was: JIELONG_GOLDEN=write shows the change", path);
    free(golden);
    *(int *)ctx += 1;
    return OK;
}

static struct id make_report(struct scores *s, char **names, size_t n)
{
    ReportTask k = REPORT_TASK__INIT;
    EvaluateStage v = EVALUATE_STAGE__INIT;
    struct spec spec;

    spec_start(&spec, TASK_SPEC__KIND_REPORT);
    v.prompts = "";
    v.has_best_of = v.has_side_by_side = 1;
    v.best_of = 4;
    v.side_by_side = 2;
    k.models = names;
    k.n_models = n;
    k.has_shards = 1;
    k.shards = 1;
    k.evaluate = &v;
    k.reference = names[0];
    spec.m.report = &k;
    for (size_t i = 0; i < n; i++)
        spec_input(&spec, "scores", scores_of(s, i > 0));
    TaskAnswer *a = spec_run(&s->c, &spec);
    struct id id = answer_id(a, "report");
    message_free(a);
    return id;
}

static void a_report_is_what_it_was(void **state)
{
    struct scores *s = *state;
    char *names[] = { "sft", "chat" };
    struct id id = make_report(s, names, 2);
    int files = 0;

    chain_check(
        &s->c, files_each(s->c.store, &id, ARTIFACT_KIND__REPORT, check_file, &files, &s->c.e));
    assert_int_equal(files, getenv("JIELONG_GOLDEN") ? 0 : 3);
}

/* ---- the page is well formed ---- */

struct tags {
    char open[64][24]; /* those not yet closed */
    size_t n;
};

static bool is_void(const char *name)
{
    static const char *const all[] = { "meta", "br", "!DOCTYPE" };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(name, all[i]) == 0)
            return true;
    return false;
}

/* One tag from its '<'; where the next one may begin. */
static const char *read_tag(struct tags *t, const char *p)
{
    bool closes = p[1] == '/';
    char name[24] = "", quote = 0;
    size_t n = strcspn(p + 1 + closes, " \t\n/>");

    assert_true(n > 0 && n < sizeof name);
    memcpy(name, p + 1 + closes, n);
    for (p += 1 + closes + n; *p && (quote || *p != '>'); p++) {
        assert_true(*p != '<');
        quote = *p == '"' ? (quote ? 0 : '"') : quote;
    }
    assert_true(*p == '>');
    if (closes) {
        if (t->n == 0 || strcmp(t->open[t->n - 1], name) != 0)
            fail_msg("</%s> closes <%s>", name, t->n ? t->open[t->n - 1] : "nothing");
        t->n--;
    } else if (!is_void(name) && p[-1] != '/') {
        assert_true(t->n < 64);
        strcpy(t->open[t->n++], name);
    }
    return p + 1;
}

static int check_tags(void *ctx, const char *path, struct span bytes, struct err *e)
{
    struct tags t = { .n = 0 };
    char *page = NULL;

    (void)e;
    if (strcmp(path, "report.html") != 0)
        return OK;
    page = strndup(bytes.p, bytes.n);
    for (const char *p = page; (p = strchr(p, '<'));)
        p = read_tag(&t, p);
    assert_int_equal(t.n, 0);
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "http://"));
    assert_null(strstr(page, "https://"));
    assert_null(strstr(page, "\x1b"));
    assert_null(strstr(page, "\xe2\x80\xae"));
    assert_non_null(strstr(page, "&lt;script&gt;"));
    assert_true(bytes.n < 60000);
    *(int *)ctx += 1;
    free(page);
    return OK;
}

static void the_page_is_well_formed_and_holds_no_foreign_markup(void **state)
{
    struct scores *s = *state;
    char *names[] = { "sft", "<i>chat</i>" };
    struct id id = make_report(s, names, 2);
    int pages = 0;

    chain_check(
        &s->c, files_each(s->c.store, &id, ARTIFACT_KIND__REPORT, check_tags, &pages, &s->c.e));
    assert_int_equal(pages, 1);
}

static int start(void **state)
{
    static struct scores s;

    chain_start(&s.c, 1);
    *state = &s;
    return 0;
}

static int end(void **state)
{
    chain_end(&((struct scores *)*state)->c);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_what_it_was),
        cmocka_unit_test(the_page_is_well_formed_and_holds_no_foreign_markup),
    };
    return cmocka_run_group_tests(tests, start, end);
}
