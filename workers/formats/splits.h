#ifndef WORKERS_FORMATS_SPLITS_H
#define WORKERS_FORMATS_SPLITS_H

#include "proto/bytes.h"

/* The splits of workers/text/pretokenize.h as Hugging Face's tokenizer.json writes them. */

/* NULL: none. `split` may have a version behind it. */
const char *split_regex(const char *split);
/* The split of a pattern; NULL: none that is known here. */
const char *split_of_regex(const char *regex, size_t n);

#endif
