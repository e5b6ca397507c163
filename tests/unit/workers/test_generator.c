#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/workers/allocations.h"
#include "workers/math/rng.h"
#include "workers/model/generator.h"

enum { CONTEXT = 40, VOCAB = 53, N = 13, MAX_NEW = 20 };
#define SEED 8

static struct engine engine;
static struct model *llama, *gpt2, *qwen3;

/* N sequences with prompts of 1, 4, 7, … tokens. */
struct sequences {
    struct generation g[N];
    int32_t prompt[N][CONTEXT], tokens[N][CONTEXT];
    float log_probs[N][CONTEXT];
};

static struct model *make_model(ModelConfig__Family family, bool norms)
{
    struct err e = ERR_INIT;
    struct model *m = NULL;
    ModelConfig c = MODEL_CONFIG__INIT;

    c.family = family;
    c.layers = 2;
    c.width = 48;
    c.heads = 4;
    c.kv_heads = family == MODEL_CONFIG__FAMILY__LLAMA ? 2 : 4;
    c.context = CONTEXT;
    c.vocab_size = VOCAB;
    c.qk_norm = norms;
    c.head_dim = norms ? 20 : 0;
    assert_int_equal(model_new(&m, &c, &e), OK);
    model_init(m, SEED);
    for (size_t i = 0; i < m->n_tensors; i++) /* far from uniform */
        for (size_t j = 0; j < m->tensors[i].rows * m->tensors[i].cols; j++)
            m->params[m->tensors[i].offset + j] *= 6;
    return m;
}

static int set_up(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(engine_init(&engine, NULL, 2, &e), OK);
    llama = make_model(MODEL_CONFIG__FAMILY__LLAMA, false);
    gpt2 = make_model(MODEL_CONFIG__FAMILY__GPT2, false);
    qwen3 = make_model(MODEL_CONFIG__FAMILY__LLAMA, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    model_free(llama);
    model_free(gpt2);
    model_free(qwen3);
    engine_free(&engine);
    return 0;
}

static struct generator_options options(size_t slots)
{
    return (struct generator_options){ .sampler = { .temperature = 1, .top_p = 1 },
        .seed = SEED,
        .max_new = MAX_NEW,
        .slots = slots,
        .stops = { 7 },
        .n_stops = 1 };
}

static void fill(struct sequences *s)
{
    memset(s, 0, sizeof *s);
    for (uint32_t i = 0; i < N; i++) {
        s->g[i].prompt = s->prompt[i];
        s->g[i].n_prompt = 1 + 3 * i;
        s->g[i].item = i;
        s->g[i].tokens = s->tokens[i];
        s->g[i].log_probs = s->log_probs[i];
        for (uint32_t j = 0; j < CONTEXT; j++) {
            uint32_t words[4];
            rng_words(words, SEED, RNG_PROMPT, i, j);
            s->prompt[i][j] = (int32_t)(words[0] % VOCAB);
        }
    }
}

static void run(struct sequences *s, const struct engine *en, const struct model *m,
    const struct generator_options *o)
{
    struct err e = ERR_INIT;

    fill(s);
    assert_int_equal(generate(en, m, s->g, N, o, NULL, NULL, &e), OK);
}

static void same(const struct generation *a, const struct generation *b)
{
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_int_equal(a->ended, b->ended);
    assert_memory_equal(a->tokens, b->tokens, a->n_tokens * sizeof *a->tokens);
    assert_memory_equal(a->log_probs, b->log_probs, a->n_tokens * sizeof *a->log_probs);
}

static void check_neighbours(const struct model *m, enum precision precision)
{
    struct sequences first, other;
    struct err e = ERR_INIT;
    struct generator_options o = options(N);
    struct panels *panels = NULL;

    o.precision = precision;
    run(&first, &engine, m, &o);
    for (size_t slots = 1; slots <= 5; slots += 2) {
        struct engine en;
        assert_int_equal(engine_init(&en, NULL, (int)slots, &e), OK);
        o.slots = slots;
        run(&other, &en, m, &o);
        for (int i = 0; i < N; i++)
            same(&other.g[i], &first.g[i]);
        engine_free(&en);
    }
    for (int i = 0; i < N; i++) { /* alone */
        fill(&other);
        assert_int_equal(generate(&engine, m, &other.g[i], 1, &o, NULL, NULL, &e), OK);
        same(&other.g[i], &first.g[i]);
    }
    assert_int_equal(panels_new(&panels, &engine, m, precision, &e), OK);
    o.panels = panels;
    run(&other, &engine, m, &o);
    for (int i = 0; i < N; i++)
        same(&other.g[i], &first.g[i]);
    panels_free(panels);
}

static void slots_threads_neighbours_and_packing_change_nothing(void **state)
{
    (void)state;
    for (int precision = 0; precision < PRECISIONS; precision++) {
        check_neighbours(llama, precision);
        check_neighbours(gpt2, precision);
        check_neighbours(qwen3, precision);
    }
}

static void it_stops_at_stop_tokens_and_limits(void **state)
{
    (void)state;
    struct sequences s;
    struct generator_options o = options(4);
    int stopped = 0, limited = 0, filled = 0;

    run(&s, &engine, llama, &o);
    for (int i = 0; i < N; i++) {
        const struct generation *g = &s.g[i];
        size_t room = CONTEXT - g->n_prompt, limit = room < MAX_NEW ? room : MAX_NEW;
        assert_true(g->n_tokens <= limit);
        for (size_t j = 0; j < g->n_tokens; j++)
            assert_int_equal(g->tokens[j] == 7, g->ended && j == g->n_tokens - 1);
        if (g->ended)
            stopped++;
        else
            assert_int_equal(g->n_tokens, limit);
        limited += !g->ended && limit == MAX_NEW;
        filled += !g->ended && limit < MAX_NEW;
    }
    assert_true(stopped > 0 && limited > 0 && filled > 0); /* the test sees all three */
}

static void a_prompt_that_fills_the_context_has_no_answer(void **state)
{
    (void)state;
    struct sequences s;
    struct err e = ERR_INIT;
    struct generator_options o = options(4);

    fill(&s);
    s.g[2].n_prompt = CONTEXT;
    s.g[2].n_tokens = 99;
    assert_int_equal(generate(&engine, llama, s.g, 4, &o, NULL, NULL, &e), OK);
    assert_int_equal(s.g[2].n_tokens, 0);
    assert_false(s.g[2].ended);
    assert_true(s.g[3].n_tokens > 0);

    s.g[2].n_prompt = CONTEXT + 1;
    assert_int_equal(generate(&engine, llama, s.g, 4, &o, NULL, NULL, &e), E_INPUT);
    s.g[2].n_prompt = 0;
    assert_int_equal(generate(&engine, llama, s.g, 4, &o, NULL, NULL, &e), E_INPUT);
    s.g[2].n_prompt = 1;
    s.prompt[2][0] = VOCAB;
    assert_int_equal(generate(&engine, llama, s.g, 4, &o, NULL, NULL, &e), E_INPUT);
}

/* Log-probabilities of all tokens after `tokens`, by the transformer that trains. */
static void next_log_probs(float *out, const struct model *m, const int32_t *tokens, size_t n)
{
    struct err e = ERR_INIT;
    struct workspace *w = NULL;
    const uint32_t start[2] = { 0, (uint32_t)n };
    const struct batch b = { 1, n, start, tokens, NULL, NULL };
    uint32_t vocab = m->config.vocab_size;
    double sum = 0;

    assert_int_equal(workspace_new(&w, &m->config, n, false, &e), OK);
    transformer_forward(w, &engine, m, &b);
    transformer_logits(w, &engine, m, n - 1, out);
    for (uint32_t i = 0; i < vocab; i++)
        sum += exp((double)out[i]);
    for (uint32_t i = 0; i < vocab; i++)
        out[i] -= (float)log(sum);
    workspace_free(w);
}

/* The largest difference of a drawn token's log-probability to the training forward's. */
static double largest_difference(const struct model *m, enum precision precision)
{
    struct sequences s;
    struct generator_options o = options(5);
    struct err e = ERR_INIT;
    double most = 0;

    o.precision = precision;
    fill(&s);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < CONTEXT; j++)
            s.prompt[i][j] %= (int32_t)m->config.vocab_size;
    o.stops[0] = (int32_t)m->config.vocab_size - 1;
    assert_int_equal(generate(&engine, m, s.g, N, &o, NULL, NULL, &e), OK);
    for (int i = 0; i < N; i++) {
        int32_t tokens[2 * CONTEXT];
        size_t n = s.g[i].n_prompt;
        memcpy(tokens, s.prompt[i], n * sizeof *tokens);
        for (size_t j = 0; j < s.g[i].n_tokens; j++) {
            float lp[VOCAB];
            next_log_probs(lp, m, tokens, n + j);
            tokens[n + j] = s.tokens[i][j];
            most = fmax(most, fabs((double)(lp[tokens[n + j]] - s.log_probs[i][j])));
        }
    }
    return most;
}

static void log_probs_are_those_of_the_training_forward(void **state)
{
    (void)state;
    const struct model *models[] = { llama, gpt2, qwen3 };

    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        struct err e = ERR_INIT;
        struct model *usual = NULL;
        assert_true(largest_difference(models[m], PRECISION_FP32) < 1e-4);
        assert_int_equal(model_copy(&usual, models[m], &e), OK);
        model_init(usual, SEED);
        double rounding = largest_difference(usual, PRECISION_BF16);
        assert_true(rounding > 1e-5 && rounding < 1e-2);
        model_free(usual);
    }
}

/* Sizes that are multiples of nothing; gates, groups of queries, an output of its own. */
static void any_shape_gives_the_right_log_probs(void **state)
{
    (void)state;
    static const struct {
        ModelConfig__Family family;
        uint32_t width, heads, kv_heads, hidden, vocab;
        int tied;
    } shapes[] = {
        { MODEL_CONFIG__FAMILY__LLAMA, 6, 3, 1, 5, 5, 0 },
        { MODEL_CONFIG__FAMILY__LLAMA, 36, 6, 2, 33, 7, 1 },
        { MODEL_CONFIG__FAMILY__LLAMA, 130, 1, 1, 70, 31, 0 },
        { MODEL_CONFIG__FAMILY__GPT2, 22, 11, 11, 19, 5, 1 },
        { MODEL_CONFIG__FAMILY__GPT2, 68, 2, 1, 131, 53, 0 },
    };

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct err e = ERR_INIT;
        struct model *m = NULL;
        ModelConfig c = MODEL_CONFIG__INIT;
        c.family = shapes[i].family;
        c.layers = 2;
        c.width = shapes[i].width;
        c.heads = shapes[i].heads;
        c.kv_heads = shapes[i].kv_heads;
        c.hidden = shapes[i].hidden;
        c.vocab_size = shapes[i].vocab;
        c.tied_output = shapes[i].tied;
        c.qkv_bias = i == 1;
        c.context = CONTEXT;
        assert_int_equal(model_new(&m, &c, &e), OK);
        rng_normal(m->params, m->n_params, SEED, RNG_INIT, 99);
        for (size_t j = 0; j < m->n_params; j++)
            m->params[j] *= 0.2f;
        assert_true(largest_difference(m, PRECISION_FP32) < 1e-4);
        assert_true(largest_difference(m, PRECISION_BF16) < 0.3);
        model_free(m);
    }
}

static void greedy_is_certain_and_cuts_leave_a_distribution(void **state)
{
    (void)state;
    struct sequences s;
    struct generator_options o = options(5);

    o.sampler.temperature = 0;
    run(&s, &engine, llama, &o);
    for (size_t j = 0; j < s.g[0].n_tokens; j++)
        assert_true(s.log_probs[0][j] == 0);
    o.sampler = (struct sampler){ .temperature = 1, .top_p = 1, .top_k = 1 };
    run(&s, &engine, llama, &o);
    for (size_t j = 0; j < s.g[0].n_tokens; j++)
        assert_true(s.log_probs[0][j] == 0);
    o.sampler.top_k = 3;
    run(&s, &engine, llama, &o);
    for (size_t j = 0; j < s.g[0].n_tokens; j++) {
        int32_t tokens[2 * CONTEXT];
        float lp[VOCAB], best[3] = { -INFINITY, -INFINITY, -INFINITY };
        tokens[0] = s.prompt[0][0];
        memcpy(tokens + 1, s.tokens[0], j * sizeof *tokens);
        next_log_probs(lp, llama, tokens, 1 + j);
        for (int v = 0; v < VOCAB; v++) {
            for (int k = 0, at = -1; k < 3 && at < 0; k++) {
                if (lp[v] <= best[k])
                    continue;
                memmove(best + k + 1, best + k, (size_t)(2 - k) * sizeof *best);
                best[k] = lp[v];
                at = k;
            }
        }
        double kept = exp((double)best[0]) + exp((double)best[1]) + exp((double)best[2]);
        double expected = (double)lp[s.tokens[0][j]] - log(kept);
        assert_true(fabs((double)s.log_probs[0][j] - expected) < 1e-4);
    }
}

static void greedy_follows_the_logits_of_the_transformer(void **state)
{
    (void)state;
    const struct model *models[] = { llama, gpt2, qwen3 };

    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        struct sequences s;
        struct generator_options o = options(5);
        o.sampler.temperature = 0;
        run(&s, &engine, models[m], &o);
        for (int i = 0; i < N; i++) {
            int32_t tokens[2 * CONTEXT];
            size_t n = s.g[i].n_prompt;
            memcpy(tokens, s.prompt[i], n * sizeof *tokens);
            for (size_t j = 0; j < s.g[i].n_tokens; j++) {
                float lp[VOCAB];
                int best = 0;
                next_log_probs(lp, models[m], tokens, n + j);
                for (int k = 1; k < VOCAB; k++)
                    best = lp[k] > lp[best] ? k : best;
                assert_int_equal(s.tokens[i][j], best);
                tokens[n + j] = best;
            }
        }
    }
}

static void the_samplers_histogram_is_the_models_distribution(void **state)
{
    (void)state;
    enum { SAMPLES = 20000 };
    const int32_t prompt[3] = { 3, 1, 4 };
    struct generation *g = calloc(SAMPLES, sizeof *g);
    int32_t *tokens = calloc(SAMPLES, sizeof *tokens);
    struct generator_options o = options(256);
    struct err e = ERR_INIT;
    double count[VOCAB] = { 0 }, chi_square = 0;
    float lp[VOCAB];

    assert_true(g != NULL && tokens != NULL);
    for (size_t i = 0; i < SAMPLES; i++)
        g[i] =
            (struct generation){ .prompt = prompt, .n_prompt = 3, .item = i, .tokens = tokens + i };
    o.max_new = 1;
    assert_int_equal(generate(&engine, llama, g, SAMPLES, &o, NULL, NULL, &e), OK);
    for (size_t i = 0; i < SAMPLES; i++)
        count[tokens[i]]++;
    next_log_probs(lp, llama, prompt, 3);
    double rare = 0, rare_count = 0; /* tokens too rare for the statistic are one cell */
    int cells = 0;
    for (int i = 0; i < VOCAB; i++) {
        double expected = SAMPLES * exp((double)lp[i]);
        if (expected < 10) {
            rare += expected;
            rare_count += count[i];
            continue;
        }
        chi_square += (count[i] - expected) * (count[i] - expected) / expected;
        cells++;
    }
    chi_square += (rare_count - rare) * (rare_count - rare) / fmax(rare, 1);
    assert_true(cells > 10);
    assert_true(chi_square < cells + 4 * sqrt(2 * cells)); /* mean and deviation of chi-square */
    free(g);
    free(tokens);
}

static bool equal_tokens(const struct sequences *a, const struct sequences *b)
{
    return memcmp(a->tokens, b->tokens, sizeof a->tokens) == 0;
}

static void seed_step_and_item_each_change_what_is_drawn(void **state)
{
    (void)state;
    struct sequences first, other;
    struct generator_options o = options(N);
    struct err e = ERR_INIT;

    run(&first, &engine, llama, &o);
    run(&other, &engine, llama, &o);
    assert_true(equal_tokens(&first, &other));
    o.step = 1;
    run(&other, &engine, llama, &o);
    assert_false(equal_tokens(&first, &other));
    o.step = 0;
    o.seed++;
    run(&other, &engine, llama, &o);
    assert_false(equal_tokens(&first, &other));
    o.seed--;
    fill(&other);
    other.g[0].item = 1000;
    assert_int_equal(generate(&engine, llama, other.g, N, &o, NULL, NULL, &e), OK);
    assert_memory_not_equal(other.tokens[0], first.tokens[0], sizeof first.tokens[0]);
    for (int i = 1; i < N; i++)
        same(&other.g[i], &first.g[i]);
}

static void banned_tokens_are_never_drawn(void **state)
{
    (void)state;
    struct sequences s;
    struct generator_options o = options(N);
    int32_t usual;

    for (int temperature = 0; temperature <= 1; temperature++) {
        o.sampler.temperature = temperature;
        o.n_banned = 0;
        run(&s, &engine, llama, &o);
        usual = s.tokens[0][0];
        o.banned[0] = usual;
        o.banned[1] = VOCAB - 1;
        o.n_banned = 2;
        run(&s, &engine, llama, &o);
        for (int i = 0; i < N; i++)
            for (size_t j = 0; j < s.g[i].n_tokens; j++)
                assert_true(s.tokens[i][j] != usual && s.tokens[i][j] != VOCAB - 1);
    }
}

static int stop_after_three(void *ctx, size_t done)
{
    *(size_t *)ctx = done;
    return done >= 3;
}

static void progress_is_told_and_may_stop_it(void **state)
{
    (void)state;
    struct sequences s;
    struct generator_options o = options(2);
    struct err e = ERR_INIT;
    size_t done = 0;

    fill(&s);
    assert_int_equal(
        generate(&engine, llama, s.g, N, &o, stop_after_three, &done, &e), E_CANCELLED);
    assert_true(done >= 3 && done < N);
}

struct count {
    size_t calls, first, last;
};

static int count_allocations(void *ctx, size_t done)
{
    struct count *c = ctx;

    (void)done;
    c->first = c->calls++ == 0 ? allocations : c->first;
    c->last = allocations;
    return 0;
}

static void nothing_is_allocated_while_it_runs(void **state)
{
    (void)state;
    struct sequences s;
    struct generator_options o = options(4);
    struct err e = ERR_INIT;

    if (!COUNTED)
        skip();
    for (int precision = 0; precision < PRECISIONS; precision++) {
        struct count c = { 0 };
        o.precision = precision;
        fill(&s);
        assert_int_equal(generate(&engine, llama, s.g, N, &o, count_allocations, &c, &e), OK);
        assert_true(c.calls > MAX_NEW);
        assert_int_equal(c.last, c.first);
    }
}

static void broken_weights_are_an_error(void **state)
{
    (void)state;
    struct sequences s;
    struct generator_options o = options(2);
    struct err e = ERR_INIT;
    struct model *m = NULL;

    assert_int_equal(model_copy(&m, llama, &e), OK);
    for (size_t i = 0; i < m->n_params; i++)
        m->params[i] = NAN;
    fill(&s);
    assert_int_equal(generate(&engine, m, s.g, N, &o, NULL, NULL, &e), E_INVARIANT);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_threads_neighbours_and_packing_change_nothing),
        cmocka_unit_test(it_stops_at_stop_tokens_and_limits),
        cmocka_unit_test(a_prompt_that_fills_the_context_has_no_answer),
        cmocka_unit_test(log_probs_are_those_of_the_training_forward),
        cmocka_unit_test(any_shape_gives_the_right_log_probs),
        cmocka_unit_test(greedy_follows_the_logits_of_the_transformer),
        cmocka_unit_test(greedy_is_certain_and_cuts_leave_a_distribution),
        cmocka_unit_test(the_samplers_histogram_is_the_models_distribution),
        cmocka_unit_test(seed_step_and_item_each_change_what_is_drawn),
        cmocka_unit_test(banned_tokens_are_never_drawn),
        cmocka_unit_test(progress_is_told_and_may_stop_it),
        cmocka_unit_test(nothing_is_allocated_while_it_runs),
        cmocka_unit_test(broken_weights_are_an_error),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
