#include "workers/tasks/spec.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void spec_start(struct spec *s, TaskSpec__KindCase kind)
{
    memset(s, 0, sizeof *s);
    task_spec__init(&s->m);
    s->m.has_engine = s->m.has_seed = true;
    s->m.engine = ENGINE_VERSION;
    s->m.seed = 7;
    s->m.kind_case = kind;
    s->m.inputs = s->pointers;
}

void spec_input(struct spec *s, const char *name, struct id id)
{
    size_t n = s->m.n_inputs++;

    assert(n < SPEC_INPUTS);
    s->ids[n] = id;
    task_input__init(&s->inputs[n]);
    s->inputs[n].name = (char *)(uintptr_t)name;
    s->inputs[n].has_id = true;
    s->inputs[n].id = (ProtobufCBinaryData){ sizeof s->ids[n].b, s->ids[n].b };
    s->pointers[n] = &s->inputs[n];
}

bool answer_find(struct id *out, const TaskAnswer *a, const char *output)
{
    for (size_t i = 0; i < a->n_outputs; i++)
        if (strcmp(a->outputs[i]->name, output) == 0)
            return id_from_span(out, a->outputs[i]->id.data, a->outputs[i]->id.len);
    return false;
}

double answer_value(const TaskAnswer *a, const char *metric)
{
    for (size_t i = 0; i < a->n_metrics; i++)
        if (strcmp(a->metrics[i]->name, metric) == 0)
            return a->metrics[i]->value;
    return NAN;
}
