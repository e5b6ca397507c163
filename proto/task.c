#include "proto/task.h"

#include <string.h>

int task_id(struct id *out, TaskSpec *spec, struct err *e)
{
    message_fill_defaults(&spec->base);
    return message_id(out, &spec->base, e);
}

size_t task_inputs(const TaskSpec *spec, const char *name, struct id *ids, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < spec->n_inputs; i++) {
        const TaskInput *input = spec->inputs[i];
        struct id id;
        if (!input->name || strcmp(input->name, name) != 0 ||
            !id_from_span(&id, input->id.data, input->id.len))
            continue;
        if (n < cap)
            ids[n] = id;
        n++;
    }
    return n;
}

int64_t fact_value(Fact *const *facts, size_t n, const char *name, int64_t otherwise)
{
    for (size_t i = 0; i < n; i++)
        if (facts[i]->name && strcmp(facts[i]->name, name) == 0)
            return facts[i]->value;
    return otherwise;
}
