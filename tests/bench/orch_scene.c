#include "tests/bench/orch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "orchestrator/daemon.h"
#include "proto/log.h"
#include "workers/worker.h"

#define READY_FD 3

/* ---- the bench's own processes ---- */

int daemon_main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    int rc = OK;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, argc > 3 ? argv[1] : "bench"); /* for perf */
    log_setup(argc > 1 ? argv[1] : "", getenv("JIELONG_BENCH_LOG") ? LOG_INFO : LOG_ERROR);
    if (argc > 3 && strcmp(argv[1], "executor") == 0)
        return noop_executor(argv[3]);
    if (argc > 3 && strcmp(argv[1], "orchestrator") == 0) {
        struct daemon_options o = {
            .home = argv[2], .listen = argv[3], .stop_fd = -1, .ready_fd = READY_FD
        };
        rc = daemon_run(&o, &e);
    } else if (argc > 5 && strcmp(argv[1], "worker") == 0) {
        struct worker_options o = {
            .home = argv[2], .connect = argv[3], .key_file = argv[4], .name = argv[5], .threads = 1
        };
        rc = worker_run(&o, &e);
    } else {
        return -1;
    }
    if (rc != OK)
        fprintf(stderr, "%s: %s\n", argv[1], e.msg);
    return rc == OK ? 0 : 1;
}

/* ready: a descriptor that the process gets as READY_FD; -1: none. */
static int start(pid_t *out, char *const argv[], int ready, struct err *e)
{
    pid_t pid = fork();

    if (pid < 0)
        return err_errno(e, "starting a process");
    if (pid == 0) {
        if (ready >= 0 && ready != READY_FD) {
            dup2(ready, READY_FD);
            close(ready);
        }
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    *out = pid;
    return OK;
}

static void end(pid_t *pid, int signal)
{
    if (*pid > 0) {
        kill(*pid, signal);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

int scene_start_orchestrator(struct scene *s, struct err *e)
{
    char *const argv[] = { "bench", "orchestrator", s->home, s->listen, NULL };
    int ready[2];
    char one;

    if (pipe(ready) != 0)
        return err_errno(e, "starting a process");
    fcntl(ready[0], F_SETFD, FD_CLOEXEC);
    int rc = start(&s->orchestrator, argv, ready[1], e);
    close(ready[1]);
    if (rc == OK && read(ready[0], &one, 1) != 1)
        rc = err_set(e, E_IO, "the orchestrator does not start");
    close(ready[0]);
    return rc;
}

void scene_kill_orchestrator(struct scene *s)
{
    end(&s->orchestrator, SIGKILL);
}

/* ---- the home ---- */

/* Two ports, one behind the other, that nobody has now. */
static unsigned free_port(void)
{
    for (unsigned port = 20000 + (unsigned)getpid() % 20000; port < 60000; port += 2) {
        bool taken = false;
        for (unsigned k = 0; k < 2; k++) {
            struct sockaddr_in a = { .sin_family = AF_INET,
                .sin_port = htons((uint16_t)(port + k)),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
            int fd = socket(AF_INET, SOCK_STREAM, 0);
            taken = taken || bind(fd, (struct sockaddr *)&a, sizeof a) != 0;
            close(fd);
        }
        if (!taken)
            return port;
    }
    return 0;
}

static int make_keys(struct scene *s, struct err *e)
{
    struct keys own, made;
    int rc = keys_own(&own, s->home, e);

    if (rc == OK)
        rc = keys_make(&made, e);
    if (rc != OK)
        return rc;
    memcpy(made.orchestrator, own.public, KEY_TEXT);
    snprintf(s->key, sizeof s->key, "%s/bench.key", s->home);
    rc = keys_write(&made, s->key, e);
    return rc == OK ? keys_allow(s->home, made.public, "bench", e) : rc;
}

static int make_pool(struct scene *s, struct err *e)
{
    struct store *store = NULL;
    int rc = store_open(&store, s->home, true, e);

    for (int i = 0; i < POOL && rc == OK; i++) {
        struct artifact_writer *w = NULL;
        Output *o = NULL;
        rc = artifact_create(&w, store, ARTIFACT_KIND__FILES, e);
        if (rc == OK)
            rc = artifact_write(w, &i, sizeof i, e);
        if (rc == OK)
            rc = artifact_commit(w, "pool", &o, e);
        if (rc != OK)
            break;
        memcpy(s->shared->pool[i].b, o->id.data, sizeof s->shared->pool[i].b);
        if (!s->input)
            s->input = o;
        else
            message_free(o);
    }
    store_close(store);
    return rc;
}

static int start_workers(struct scene *s, struct err *e)
{
    int rc = OK;

    for (int i = 0; i < WORKERS && rc == OK; i++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", i + 1);
        char *const argv[] = { "bench", "worker", s->home, s->listen, s->key, name, NULL };
        rc = start(&s->workers[i], argv, -1, e);
    }
    return rc;
}

static int connect_client(struct scene *s, struct err *e)
{
    char url[HOME_URL];
    int rc = home_url(url, s->home, e);

    if (rc == OK)
        rc = net_new(&s->net, e);
    return rc == OK ? socket_connect(&s->client, s->net, url, NULL, e) : rc;
}

int scene_open(struct scene **out, const char *folder, struct err *e)
{
    struct scene *s = calloc(1, sizeof *s);
    int rc = s ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc != OK)
        return rc;
    snprintf(s->home, sizeof s->home, "%s/home", folder);
    snprintf(s->listen, sizeof s->listen, "tcp://127.0.0.1:%u", free_port());
    rc = make_keys(s, e);
    if (rc == OK)
        rc = shared_open(&s->shared, s->home, true, e);
    if (rc == OK)
        rc = make_pool(s, e);
    if (rc == OK)
        rc = scene_start_orchestrator(s, e);
    if (rc == OK)
        rc = start_workers(s, e);
    if (rc == OK)
        rc = connect_client(s, e);
    if (rc != OK) {
        scene_close(s);
        return rc;
    }
    *out = s;
    return OK;
}

void scene_close(struct scene *s)
{
    if (!s)
        return;
    for (int i = 0; i < WORKERS; i++)
        end(&s->workers[i], SIGKILL);
    end(&s->orchestrator, SIGTERM);
    if (s->client)
        socket_free(s->client);
    if (s->net)
        net_free(s->net);
    shared_close(s->shared);
    message_free(s->input);
    free(s);
}
