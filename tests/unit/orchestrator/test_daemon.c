#include "orchestrator/daemon.h"

#include <signal.h>
#include <sys/wait.h>

#include "orchestrator/client.h"
#include "store/store.h"
#include "tests/unit/orchestrator/home.h"

/* A real daemon in a child process, asked over its real socket. */
struct scene {
    char *home;
    pid_t pid;
    int stop; /* closing it stops the daemon */
    struct client *client;
    Submit *submit;
};

static void start(struct scene *c)
{
    int stop[2], ready[2];
    char url[HOME_URL], byte;
    struct err e = ERR_INIT;

    assert_int_equal(pipe(stop), 0);
    assert_int_equal(pipe(ready), 0);
    c->pid = fork();
    if (c->pid == 0) {
        struct daemon_options o = { c->home, NULL, stop[0], ready[1] };
        close(stop[1]);
        _exit(daemon_run(&o, &e) == OK ? 0 : -e.code);
    }
    close(stop[0]);
    close(ready[1]);
    c->stop = stop[1];
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    assert_int_equal(home_url(url, c->home, &e), OK);
    assert_int_equal(client_open(&c->client, url, &e), OK);
}

static int end_of(struct scene *c)
{
    int status;

    client_close(c->client);
    c->client = NULL;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    c->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void take_inputs(Submit *s, const char *home)
{
    struct store *store = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(store_open(&store, home, true, &e), OK);
    s->inputs = calloc(s->pipeline->n_inputs, sizeof *s->inputs);
    for (size_t i = 0; i < s->pipeline->n_inputs; i++) {
        struct artifact_writer *w = NULL;
        TakenInput *t = malloc(sizeof *t);
        taken_input__init(t);
        t->name = strdup(s->pipeline->inputs[i]->name);
        assert_int_equal(artifact_create(&w, store, ARTIFACT_KIND__FILES, &e), OK);
        assert_int_equal(artifact_write(w, t->name, strlen(t->name), &e), OK);
        assert_int_equal(artifact_commit(w, t->name, &t->artifact, &e), OK);
        s->inputs[s->n_inputs++] = t;
    }
    store_close(store);
}

static int set_up(void **at)
{
    struct scene *c = calloc(1, sizeof *c);

    c->home = home_new();
    c->submit = small_submit(c->home);
    take_inputs(c->submit, c->home);
    start(c);
    *at = c;
    return 0;
}

static int tear_down(void **at)
{
    struct scene *c = *at;

    if (c->pid > 0) {
        kill(c->pid, SIGKILL);
        end_of(c);
    }
    close(c->stop);
    message_free(c->submit);
    home_remove(c->home);
    free(c);
    return 0;
}

static int ask(
    struct scene *c, Envelope__KindCase kind, void *body, Envelope **reply, struct err *e)
{
    Envelope m = ENVELOPE__INIT;

    m.kind_case = kind;
    m.submit = body;
    return client_ask(c->client, &m, reply, 20000, e);
}

static void submit(struct scene *c, const char *name)
{
    struct err e = ERR_INIT;
    Envelope *reply = NULL;

    assert_int_equal(ask(c, ENVELOPE__KIND_SUBMIT, c->submit, &reply, &e), OK);
    assert_int_equal(reply->kind_case, ENVELOPE__KIND_SUBMITTED);
    assert_string_equal(reply->submitted->run, name);
    message_free(reply);
}

static char *state_of(struct scene *c, const char *run)
{
    struct err e = ERR_INIT;
    StatusRequest q = STATUS_REQUEST__INIT;
    Envelope *reply = NULL;

    q.run = (char *)run;
    assert_int_equal(ask(c, ENVELOPE__KIND_STATUS_REQUEST, &q, &reply, &e), OK);
    char *state = strdup(reply->status_reply->runs[0]->state);
    message_free(reply);
    return state;
}

static void check_state(struct scene *c, const char *run, const char *want)
{
    char *state = state_of(c, run);

    assert_string_equal(state, want);
    free(state);
}

static void submitted_run_is_there_after_a_kill(void **at)
{
    struct scene *c = *at;

    submit(c, "small-1");
    check_state(c, "small-1", "running");
    kill(c->pid, SIGKILL);
    assert_int_equal(end_of(c), 128);
    close(c->stop);
    start(c);
    check_state(c, "small-1", "running");
    submit(c, "small-2");
}

static void cancelled_run_that_never_had_a_worker_is_over(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    Control q = CONTROL__INIT;
    Envelope *reply = NULL;

    submit(c, "small-1");
    q.has_verb = true;
    q.verb = CONTROL__VERB__CANCEL;
    q.run = "small-1";
    assert_int_equal(ask(c, ENVELOPE__KIND_CONTROL, &q, &reply, &e), OK);
    assert_int_equal(reply->kind_case, ENVELOPE__KIND_DONE);
    message_free(reply);
    check_state(c, "small-1", "cancelled");
}

static void request_that_is_wrong_is_refused_in_words(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    StatusRequest q = STATUS_REQUEST__INIT;
    Control cancel = CONTROL__INIT;
    Envelope *reply = NULL;

    assert_int_equal(ask(c, ENVELOPE__KIND_STATUS_REQUEST, &q, &reply, &e), E_MISSING);
    assert_string_equal(e.msg, "there are no runs yet");
    cancel.has_verb = true;
    cancel.verb = CONTROL__VERB__CANCEL;
    cancel.run = "none";
    assert_int_equal(ask(c, ENVELOPE__KIND_CONTROL, &cancel, &reply, &e), E_MISSING);
    c->submit->pipeline->stages[1]->pretrain->steps = 0;
    assert_int_equal(ask(c, ENVELOPE__KIND_SUBMIT, c->submit, &reply, &e), E_INPUT);
    assert_null(reply);
}

static void input_that_was_not_taken_in_is_refused(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    Envelope *reply = NULL;

    c->submit->inputs[0]->artifact->id.data[0] ^= 1;
    assert_int_equal(ask(c, ENVELOPE__KIND_SUBMIT, c->submit, &reply, &e), E_INPUT);
    assert_string_equal(e.msg, "input 'corpus' is not in the store");
}

static void message_out_of_place_is_ignored(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    Drain nonsense = DRAIN__INIT;
    Envelope m = ENVELOPE__INIT, *reply = NULL;

    m.kind_case = ENVELOPE__KIND_DRAIN;
    m.drain = &nonsense;
    assert_int_equal(client_ask(c->client, &m, &reply, 100, &e), E_IO);
    assert_non_null(strstr(e.msg, "no answer from the orchestrator at ipc://"));
    submit(c, "small-1");
}

static void stop_descriptor_ends_it_cleanly(void **at)
{
    struct scene *c = *at;

    close(c->stop);
    c->stop = -1;
    assert_int_equal(end_of(c), 0);
}

static void signal_ends_it_cleanly(void **at)
{
    struct scene *c = *at;

    kill(c->pid, SIGTERM);
    assert_int_equal(end_of(c), 0);
}

static void shutdown_is_answered_before_it_ends(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    Shutdown q = SHUTDOWN__INIT;
    Envelope *reply = NULL;

    assert_int_equal(ask(c, ENVELOPE__KIND_SHUTDOWN, &q, &reply, &e), OK);
    assert_int_equal(reply->kind_case, ENVELOPE__KIND_DONE);
    message_free(reply);
    assert_int_equal(end_of(c), 0);
}

static void second_daemon_of_a_home_is_busy(void **at)
{
    struct scene *c = *at;
    struct daemon_options o = { c->home, NULL, -1, -1 };
    int status;
    pid_t second = fork();

    if (second == 0) {
        struct err e = ERR_INIT;
        _exit(-daemon_run(&o, &e));
    }
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_int_equal(WEXITSTATUS(status), -E_BUSY);
}

static void strangers_are_not_listened_to_without_keys(void **at)
{
    struct scene *c = *at;
    int status;
    pid_t second;

    close(c->stop);
    c->stop = -1;
    assert_int_equal(end_of(c), 0);
    second = fork();
    if (second == 0) {
        struct daemon_options o = { c->home, "tcp://0.0.0.0:0", -1, -1 };
        struct err e = ERR_INIT;
        _exit(-daemon_run(&o, &e));
    }
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_int_equal(WEXITSTATUS(status), -E_INPUT);
}

int main(void)
{
#define DAEMON_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        DAEMON_TEST(submitted_run_is_there_after_a_kill),
        DAEMON_TEST(cancelled_run_that_never_had_a_worker_is_over),
        DAEMON_TEST(request_that_is_wrong_is_refused_in_words),
        DAEMON_TEST(input_that_was_not_taken_in_is_refused),
        DAEMON_TEST(message_out_of_place_is_ignored),
        DAEMON_TEST(stop_descriptor_ends_it_cleanly),
        DAEMON_TEST(signal_ends_it_cleanly),
        DAEMON_TEST(shutdown_is_answered_before_it_ends),
        DAEMON_TEST(second_daemon_of_a_home_is_busy),
        DAEMON_TEST(strangers_are_not_listened_to_without_keys),
    };
#undef DAEMON_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
