#include "tests/bench/bench.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/profile.h"

/* Commands and answers are lines: "turn N", then the seconds of each part; "close", then peak
 * memory in kB and the bytes that were computed; whenever it ends early, "failed CODE MESSAGE".
 * torch_peer.py says the same. */

struct runner {
    pid_t pid;
    FILE *in, *out; /* its answers, its commands */
};

static serve_function *const serves[] = {
    [TRAIN] = serve_train,
    [DECODE] = serve_decode,
    [PPO] = serve_ppo,
};

bool turns_next(struct turns *t, unsigned *n)
{
    bool more = fscanf(t->in, " turn %u", n) == 1;

    t->n = more ? *n : 0;
    if (t->work)
        profile_start();
    return more;
}

void turns_answer(struct turns *t, const double *parts, size_t n)
{
    double spent = 0;

    for (size_t i = 0; i < n; i++) {
        fprintf(t->out, "%.9f%c", parts[i], i + 1 < n ? ' ' : '\n');
        spent += parts[i];
    }
    fflush(t->out);
    if (t->work && t->n > 0)
        profile_print(stdout, t->work->name, spent,
            t->n * (t->work->kind == DECODE ? NEW_TOKENS : 1), t->threads);
}

static double peak_memory(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[1200];
    double kb = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lf", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

static int serve(struct turns *t, const struct work *w)
{
    struct engine en = { 0 };
    struct err e = ERR_INIT;

    if (t->work)
        profile_on();
    int rc = engine_init(&en, NULL, t->threads, &e);

    if (rc == OK)
        rc = serves[w->kind](t, w, &en, &e);
    engine_free(&en);
    if (rc == OK)
        fprintf(t->out, "%.0f %.0f\n", peak_memory(), t->computed);
    else
        fprintf(t->out, "failed %d %s\n", rc, e.msg);
    fflush(t->out);
    return rc == OK ? 0 : 1;
}

/* OpenBLAS built for OpenMP, as PyTorch's own threads are: two pools of threads would get in each
 * other's way. */
static void use_openmp_blas(void)
{
    glob_t found;

    if (glob("/usr/lib/*/openblas-openmp", 0, NULL, &found) == 0 && found.gl_pathc > 0)
        setenv("LD_LIBRARY_PATH", found.gl_pathv[0], 1);
    globfree(&found);
}

/* The core type is that of our own class, which is in the environment already. */
static void become_peer(const int commands[2], const int answers[2], int threads)
{
    static const char *const tuning[][2] = {
        /* glibc keeps large blocks: page faults of fresh ones cost 30 % */
        { "MALLOC_TOP_PAD_", "268435456" },
        { "MALLOC_MMAP_THRESHOLD_", "4294967296" },
        { "MALLOC_TRIM_THRESHOLD_", "17179869184" },
    };
    char path[256], count[16];

    snprintf(path, sizeof path, "%s/tests/bench/torch_peer.py", getenv("JIELONG_SOURCE"));
    snprintf(count, sizeof count, "%d", threads);
    for (size_t i = 0; i < sizeof tuning / sizeof *tuning; i++)
        setenv(tuning[i][0], tuning[i][1], 1);
    unsetenv("OPENBLAS_NUM_THREADS");
    setenv("OMP_NUM_THREADS", count, 1);
    use_openmp_blas();
    dup2(commands[0], STDIN_FILENO);
    dup2(answers[1], STDOUT_FILENO);
    execl("/usr/bin/python3", "python3", path, count, (char *)NULL);
    _exit(127);
}

/* w NULL: the peer. */
static int runner_start(
    struct runner **out, const struct work *w, int threads, bool profile, struct err *e)
{
    struct runner *r = calloc(1, sizeof *r);
    int commands[2], answers[2];

    if (!r || pipe2(commands, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0) {
        free(r);
        return err_errno(e, "starting a process");
    }
    fflush(NULL);
    r->pid = fork();
    if (r->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!w)
            become_peer(commands, answers, threads);
        close(commands[1]);
        struct turns t = { .in = fdopen(commands[0], "r"),
            .out = fdopen(answers[1], "w"),
            .work = profile ? w : NULL,
            .threads = threads };
        _exit(serve(&t, w));
    }
    close(commands[0]);
    close(answers[1]);
    r->out = fdopen(commands[1], "w");
    r->in = fdopen(answers[0], "r");
    *out = r;
    return OK;
}

int runner_open(struct runner **out, const struct work *w, int threads, bool profile, struct err *e)
{
    return runner_start(out, w, threads, profile, e);
}

static int read_answer(struct runner *r, char *line, int size, struct err *e)
{
    int code, at = 0;

    if (!fgets(line, size, r->in))
        return err_set(e, E_IO, "the process that does the work has ended");
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "failed %d %n", &code, &at) == 1)
        return err_set(e, code, "%s", line + at);
    return OK;
}

/* Without its commands a process ends by itself, unless it is in the middle of one. */
static void runner_free(struct runner *r, bool busy)
{
    fclose(r->out);
    fclose(r->in);
    if (busy)
        kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    free(r);
}

int runner_open_peer(struct runner **out, const char *open, int threads, struct err *e)
{
    struct runner *r = NULL;
    char line[1200];
    int rc = runner_start(&r, NULL, threads, false, e);

    if (rc != OK)
        return rc;
    fprintf(r->out, "%s\n", open);
    fflush(r->out);
    rc = read_answer(r, line, sizeof line, e);
    if (rc == OK)
        *out = r;
    else
        runner_free(r, true);
    return rc;
}

int runner_turn(struct runner *r, unsigned n, double parts[PARTS_MAX], struct err *e)
{
    char line[1200], *at = line, *end;

    fprintf(r->out, "turn %u\n", n);
    fflush(r->out);
    int rc = read_answer(r, line, sizeof line, e);
    for (size_t i = 0; i < PARTS_MAX; i++, at = end)
        parts[i] = rc == OK ? strtod(at, &end) : 0;
    return rc;
}

int runner_close(struct runner *r, double *peak, double *computed, struct err *e)
{
    char line[1200];
    double kb = 0;

    fprintf(r->out, "close\n");
    fflush(r->out);
    int rc = read_answer(r, line, sizeof line, e);
    *computed = 0;
    if (rc == OK)
        sscanf(line, "%lf %lf", &kb, computed);
    *peak = kb * 1024;
    runner_free(r, rc != OK);
    return rc;
}
