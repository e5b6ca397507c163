#include "tests/unit/workers/world.h"
#include "workers/tasks/memory.h"

/* What a training takes at its peak, of which workers/tasks/memory.h knows before it starts: of a
 * process of its own, which is this program with an argument. */

#if defined(__SANITIZE_ADDRESS__)
#define OWN_MEMORY false /* a sanitizer has its own beside ours */
#else
#define OWN_MEMORY true
#endif

enum { STEPS = 2 };

static double peak_mib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lf", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib / 1024;
}

static int keep_account(void *ctx, const Progress *p)
{
    for (size_t i = 0; i < p->n_metrics; i++)
        if (strcmp(p->metrics[i]->name, "memory_mib") == 0)
            *(double *)ctx = p->metrics[i]->value;
    return 0;
}

/* Prints the account and the peak, in MiB. */
static void train_here(bool checkpointing)
{
    struct chain c;
    struct spec s;
    TrainTask k;
    ModelConfig m = small_model();
    double account = 0;

    chain_start(&c, 2);
    c.resident = memory_resident();
    struct id text = chain_file(&c, "text.txt", small_text(), SPLIT__PARAGRAPH);
    struct id tokenizer = run_tokenizer(&c, text);
    struct id tokens =
        run_encode(&c, ENCODE_AS__AS_TEXT, "text", text, "tokenizer", tokenizer, "tokens");
    m.width = 256;
    m.heads = 4;
    m.context = 128;
    train_task(&k, TRAIN_TASK__OBJECTIVE__LM, STEPS);
    k.has_steps = k.has_activation_checkpointing = 1;
    k.steps = STEPS;
    k.batch_size = 16;
    k.activation_checkpointing = checkpointing;
    k.model = &m;
    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = &k;
    spec_input(&s, "tokenizer", tokenizer);
    spec_input(&s, "tokens", tokens);
    c.progress = keep_account;
    c.ctx = &account;
    message_free(spec_run(&c, &s));
    printf("%f %f\n", account, peak_mib());
    chain_end(&c);
}

static void check_peak(const char *how)
{
    char command[64];
    double account = 0, peak = 0;

    snprintf(command, sizeof command, "/proc/%d/exe %s", (int)getpid(), how);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lf %lf", &account, &peak), 2);
    assert_int_equal(pclose(f), 0);
    if (!(peak <= 1.05 * account && peak >= .8 * account))
        fail_msg("%s: %.1f MiB are taken, %.1f were computed", how, peak, account);
}

static void a_training_takes_what_was_computed_and_at_most_a_twentieth_more(void **state)
{
    (void)state;
    if (!OWN_MEMORY)
        skip();
    check_peak("plain");
    check_peak("checkpointing");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_training_takes_what_was_computed_and_at_most_a_twentieth_more),
    };

    if (argc > 1) {
        train_here(strcmp(argv[1], "checkpointing") == 0);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
