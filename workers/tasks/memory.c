#include "workers/tasks/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the need ---- */

void memory_add_model(struct memory_need *n, const ModelConfig *c)
{
    struct model_size s = model_size(c);

    n->weights += (s.params + s.base) * sizeof(float);
}

void memory_add_network(struct memory_need *n, const ModelConfig *c)
{
    struct model_size s = model_size(c);
    uint64_t trained = (s.params - s.frozen) * sizeof(float);

    memory_add_model(n, c);
    n->gradients += trained;
    n->moments += 2 * trained;
}

void memory_add_loading(struct memory_need *n, uint64_t bytes)
{
    uint64_t then = n->weights + n->gradients + n->moments + bytes;

    n->loading = n->loading > then ? n->loading : then;
}

void memory_add_work(struct memory_need *n, uint64_t cache, uint64_t activations, uint64_t batch)
{
    if (cache + activations + batch <= n->cache + n->activations + n->batch)
        return;
    n->cache = cache;
    n->activations = activations;
    n->batch = batch;
}

/* Reading a tokenizer.json takes so many times its bytes (measured: 28 of one of 150,000 short
 * tokens, most of it the tree of its values). */
#define JSON_TREE 32

/* Files and model are in memory at once; beside them a tensor that is read, then the tree of the
 * tokenizer's file. */
void memory_add_import(struct memory_need *n, const ModelConfig *c, uint64_t json)
{
    uint64_t tensor = model_largest(c) * sizeof(float), tree = JSON_TREE * json;

    n->weights += model_floats(c) * sizeof(float);
    n->other += tensor > tree ? tensor : tree;
}

/* What is there once all is loaded. */
static uint64_t lasting(const struct memory_need *n)
{
    return n->weights + n->gradients + n->moments + n->packed + n->cache + n->activations +
           n->batch + n->other;
}

/* What loading takes beyond what is there later. */
static uint64_t loading_alone(const struct memory_need *n)
{
    uint64_t later = lasting(n);

    return n->loading > later ? n->loading - later : 0;
}

uint64_t memory_total(const struct memory_need *n)
{
    return n->files + lasting(n) + loading_alone(n) + n->kept + n->process;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

int memory_check(const struct memory_need *n, uint64_t limit, struct err *e)
{
    const struct {
        const char *name;
        uint64_t bytes;
        bool told; /* of a training, even where it is 0 */
    } parts[] = {
        { "files", n->files, false },
        { "weights", n->weights, true },
        { "gradients", n->gradients, true },
        { "moments", n->moments, true },
        { "activations", n->activations, true },
        { "batch", n->batch, true },
        { "other", n->other, true },
        { "packed weights", n->packed, false },
        { "cache", n->cache, false },
        { "kept of tasks before", n->kept, false },
        { "the process itself", n->process, true },
        { "while loading or saving", loading_alone(n), false },
    };
    enum { PARTS = sizeof parts / sizeof *parts };
    char list[384] = "";
    size_t at = 0;

    if (limit == 0 || memory_total(n) <= limit)
        return OK;
    for (size_t i = 0; i < PARTS && at < sizeof list; i++)
        if (parts[i].bytes > 0 || (!n->what && parts[i].told))
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s %.1f", at > 0 ? ", " : "",
                parts[i].name, mib(parts[i].bytes));
    return err_set(e, E_TOO_LARGE, "%s needs %.1f MiB of memory (%s) but %.1f MiB is all there is",
        n->what ? n->what : "training", mib(memory_total(n)), list, mib(limit));
}

/* ---- the limit ---- */

/* The number in a file; UINT64_MAX where there is none ("max" means none). */
static uint64_t read_number(const char *path)
{
    unsigned long long value = UINT64_MAX;
    FILE *f = fopen(path, "r");

    if (f == NULL)
        return UINT64_MAX;
    if (fscanf(f, "%llu", &value) != 1)
        value = UINT64_MAX;
    fclose(f);
    return value;
}

/* The least limit of a control group and those above it. group: "/a/b"; is cut. */
static uint64_t group_limit(const char *root, const char *mount, char *group, const char *file)
{
    uint64_t least = UINT64_MAX;
    char path[1024];

    for (;;) {
        size_t end = strlen(group);
        while (end > 0 && group[end - 1] == '/')
            group[--end] = '\0';
        int n = snprintf(path, sizeof path, "%s%s%s/%s", root, mount, group, file);
        uint64_t here = n < (int)sizeof path ? read_number(path) : UINT64_MAX;
        least = here < least ? here : least;
        if (end == 0)
            return least;
        *strrchr(group, '/') = '\0';
    }
}

/* A line of /proc/self/cgroup, NUMBER:CONTROLLERS:GROUP; version 2 has the number 0 and no
 * controllers (cgroups(7)). */
static uint64_t line_limit(const char *root, char *line)
{
    char *controllers = strchr(line, ':'), *group = NULL;

    line[strcspn(line, "\n")] = '\0';
    if (controllers != NULL)
        group = strchr(++controllers, ':');
    if (group == NULL || group[1] != '/')
        return UINT64_MAX;
    *group++ = '\0';
    if (*controllers == '\0')
        return group_limit(root, "/sys/fs/cgroup", group, "memory.max");
    if (strcmp(controllers, "memory") == 0)
        return group_limit(root, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    return UINT64_MAX;
}

/* proc(5): the second number of statm counts pages. */
uint64_t memory_resident(void)
{
    unsigned long long all, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL)
        return 0;
    if (fscanf(f, "%llu %llu", &all, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t memory_limit(const char *root)
{
    uint64_t limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    char path[512], line[1024];
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        uint64_t one = line_limit(root, line);
        limit = one < limit ? one : limit;
    }
    if (f != NULL)
        fclose(f);
    return limit;
}
