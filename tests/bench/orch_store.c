#include "tests/bench/orch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "orchestrator/bulk.h"
#include "store/checkpoint.h"
#include "store/transfer.h"

/* Rows about bytes. */

#define TENSORS 16

static CheckpointHeader *header_of(size_t bytes)
{
    static CheckpointHeader h;
    static TensorInfo infos[TENSORS], *tensors[TENSORS];
    static char names[TENSORS][8];
    static uint64_t floats;

    checkpoint_header__init(&h);
    floats = bytes / TENSORS / sizeof(float);
    for (int i = 0; i < TENSORS; i++) {
        tensor_info__init(&infos[i]);
        snprintf(names[i], sizeof names[i], "t%d", i);
        infos[i].name = names[i];
        infos[i].n_shape = 1;
        infos[i].shape = &floats;
        tensors[i] = &infos[i];
    }
    h.n_tensors = TENSORS;
    h.tensors = tensors;
    return &h;
}

static float *floats_new(size_t bytes, uint32_t seed)
{
    float *p = malloc(bytes);

    for (size_t i = 0; p && i < bytes / sizeof *p; i++)
        p[i] = (float)(seed = seed * 1664525u + 1013904223u);
    return p;
}

static int put_floats(
    Output **out, double *took, struct store *s, const float *p, size_t bytes, struct err *e)
{
    struct checkpoint_writer *w = NULL;
    size_t floats = bytes / TENSORS / sizeof(float);
    double began = seconds();
    int rc = checkpoint_create(&w, s, ARTIFACT_KIND__CHECKPOINT, header_of(bytes), e);

    for (int i = 0; i < TENSORS && rc == OK; i++)
        rc = checkpoint_put(w, p + (size_t)i * floats, floats, e);
    if (rc == OK)
        rc = checkpoint_commit(w, "checkpoint", out, e);
    else
        checkpoint_abort(w);
    *took = seconds() - began;
    return rc;
}

/* A checkpoint that differs from those of other seeds in each of its chunks, and these from each
 * other. */
static int put(
    Output **out, double *took, struct store *s, size_t bytes, uint32_t seed, struct err *e)
{
    float *p = floats_new(bytes, seed);
    int rc = p ? put_floats(out, took, s, p, bytes, e) : err_set(e, E_NOMEM, "out of memory");

    free(p);
    return rc;
}

static int drop(struct store *s, Output *o, struct err *e)
{
    struct swept swept = { 0 };
    struct id id;
    int rc = OK;

    if (id_from_span(&id, o->id.data, o->id.len))
        rc = store_drop(s, &id, 1, &swept, e);
    message_free(o);
    return rc;
}

#define TURNS 5

static double speed(const struct orch *o, double *spent)
{
    return (double)o->checkpoint_bytes / median(spent, TURNS) / 1e9;
}

/* One turn: a checkpoint into the store, and its bytes over those of a plain file. */
static int put_turn(double *ours, double *plain, struct store *s, const struct raw *raw,
    uint32_t seed, struct err *e)
{
    Output *out = NULL;
    float *p = floats_new(raw->n, seed);
    int rc = p ? put_floats(&out, ours, s, p, raw->n, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = drop(s, out, e);
    if (rc == OK)
        rc = raw_write(plain, raw, p, e);
    free(p);
    return rc;
}

int put_row(struct orch *o, struct figure *f, struct err *e)
{
    char home[256];
    struct store *s = NULL;
    struct raw raw;
    double fresh, ours[TURNS], plain[TURNS];
    int rc = raw_open(&raw, o->folder, o->checkpoint_bytes, e);

    snprintf(home, sizeof home, "%s/put", o->folder);
    if (rc == OK)
        rc = store_open(&s, home, true, e);
    /* The first grows the file; the others find room in it, as a training run's do. */
    if (rc == OK)
        rc = put_turn(&fresh, plain, s, &raw, 1, e);
    for (uint32_t i = 0; i < TURNS && rc == OK; i++)
        rc = put_turn(&ours[i], &plain[i], s, &raw, i + 2, e);
    store_close(s);
    raw_close(&raw);
    if (rc != OK)
        return rc;
    f->value = speed(o, ours);
    f->limit = speed(o, plain);
    snprintf(f->note, sizeof f->note,
        "%zu MiB; fresh file %.2f; limit: overwrite + fsync, in turns", o->checkpoint_bytes >> 20,
        (double)o->checkpoint_bytes / fresh / 1e9);
    return OK;
}

static int get(
    double *took, struct store *s, const struct id *id, float *p, size_t bytes, struct err *e)
{
    struct checkpoint_reader *r = NULL;
    size_t floats = bytes / TENSORS / sizeof(float);
    double began = seconds();
    int rc = checkpoint_open(&r, s, id, e);

    for (int i = 0; i < TENSORS && rc == OK; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%d", i);
        rc = checkpoint_get(r, name, p + (size_t)i * floats, floats, e);
    }
    *took = seconds() - began;
    checkpoint_close(r);
    return rc;
}

int get_row(struct orch *o, struct figure *f, struct err *e)
{
    char home[256];
    struct store *s = NULL;
    struct raw raw;
    Output *out = NULL;
    struct id id;
    double ours[TURNS], plain[TURNS], took;
    float *p = aligned_alloc(64, o->checkpoint_bytes); /* as a model's */
    int rc = raw_open(&raw, o->folder, o->checkpoint_bytes, e);

    snprintf(home, sizeof home, "%s/put", o->folder);
    if (rc == OK && !p)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        rc = store_open(&s, home, true, e);
    if (rc == OK)
        rc = put(&out, &took, s, o->checkpoint_bytes, 77, e);
    if (rc == OK && !id_from_span(&id, out->id.data, out->id.len))
        rc = err_set(e, E_CORRUPT, "an id of %zu bytes", out->id.len);
    if (rc == OK) { /* both maps are touched, and the memory */
        rc = get(&took, s, &id, p, o->checkpoint_bytes, e);
        if (rc == OK)
            rc = raw_write(&took, &raw, p, e);
        raw_read(&took, &raw, p);
    }
    for (int i = 0; i < TURNS && rc == OK; i++) {
        rc = get(&ours[i], s, &id, p, o->checkpoint_bytes, e);
        raw_read(&plain[i], &raw, p);
    }
    if (rc == OK)
        rc = drop(s, out, e);
    store_close(s);
    raw_close(&raw);
    free(p);
    if (rc != OK)
        return rc;
    f->value = speed(o, ours);
    f->limit = speed(o, plain);
    snprintf(f->note, sizeof f->note, "%zu MiB; limit: plain mmap read, in turns",
        o->checkpoint_bytes >> 20);
    return OK;
}

/* ---- host to host ---- */

/* The other host: a store with the artifact, served by the orchestrator's own thread for chunks. */
static void other_host(const char *home, size_t bytes, const struct keys *keys, int fd)
{
    struct store *s = NULL;
    struct bulk *b = NULL;
    Output *out = NULL;
    struct err e = ERR_INIT;
    double took;
    unsigned port = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int rc = store_open(&s, home, true, &e);
    if (rc == OK)
        rc = put(&out, &took, s, bytes, 99, &e);
    if (rc == OK)
        rc = bulk_start(&b, s, home, "tcp://127.0.0.1:*", keys, &e);
    if (rc == OK)
        port = bulk_port(b);
    else
        fprintf(stderr, "%s\n", e.msg);
    if (write(fd, &port, sizeof port) == sizeof port && port &&
        write(fd, out->id.data, out->id.len) == (ssize_t)out->id.len)
        pause();
    _exit(1);
}

static int carry(double *took, const char *home, unsigned port, const struct id *id,
    const struct keys *keys, struct err *e)
{
    struct store *s = NULL;
    struct net *net = NULL;
    struct socket *socket = NULL;
    atomic_bool stop = false;
    char url[64];

    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    int rc = store_open(&s, home, true, e);
    if (rc == OK)
        rc = net_new(&net, e);
    if (rc == OK)
        rc = socket_connect(&socket, net, url, keys, e);
    for (int i = 0; i < 2 && rc == OK; i++) { /* the first grows the file */
        struct transfer t = { s, socket, &stop };
        struct swept swept = { 0 };
        double began = seconds();
        rc = transfer_fetch(&t, id, e);
        *took = seconds() - began;
        if (rc == OK)
            rc = store_drop(s, id, 1, &swept, e);
    }
    if (socket)
        socket_free(socket);
    if (net)
        net_free(net);
    store_close(s);
    return rc;
}

static int carry_row(struct orch *o, struct figure *f, bool curve, struct err *e)
{
    size_t bytes = o->quick ? (size_t)256 << 20 : (size_t)1 << 30;
    char here[256], there[256];
    struct keys own, mine;
    struct id id;
    unsigned port = 0;
    int ends[2], rc = OK;

    snprintf(here, sizeof here, "%s/put", o->folder);
    snprintf(there, sizeof there, "%s/there", o->folder);
    if (curve && (keys_own(&own, there, e) != OK || keys_make(&mine, e) != OK ||
                     keys_allow(there, mine.public, "bench", e) != OK))
        return e->code;
    if (curve)
        memcpy(mine.orchestrator, own.public, KEY_TEXT);
    if (pipe(ends) != 0)
        return err_errno(e, "starting a process");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        other_host(there, bytes, curve ? &own : NULL, ends[1]);
    close(ends[1]);
    if (read(ends[0], &port, sizeof port) != sizeof port || port == 0 ||
        read(ends[0], &id, sizeof id) != sizeof id)
        rc = err_set(e, E_IO, "the other host does not start");
    double took = 1;
    if (rc == OK)
        rc = carry(&took, here, port, &id, curve ? &mine : NULL, e);
    close(ends[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    f->value = (double)bytes / took / 1e9;
    f->limit = o->limits.socket / 1e9;
    snprintf(
        f->note, sizeof f->note, "%zu MiB, verified and durable; limit: raw socket", bytes >> 20);
    return rc;
}

int carry_plain_row(struct orch *o, struct figure *f, struct err *e)
{
    return carry_row(o, f, false, e);
}

int carry_curve_row(struct orch *o, struct figure *f, struct err *e)
{
    return carry_row(o, f, true, e);
}
