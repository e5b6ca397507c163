#ifndef WORKERS_TEXT_SCRIPT_H
#define WORKERS_TEXT_SCRIPT_H

#include "proto/bytes.h"

/* The language that a text's letters speak for. A script that many languages share is called by its
 * name: nothing more is known. */
enum script {
    SCRIPT_ZH,
    SCRIPT_JA,
    SCRIPT_KO,
    SCRIPT_LATIN,
    SCRIPT_CYRILLIC,
    SCRIPT_GREEK,
    SCRIPT_HEBREW,
    SCRIPT_ARABIC,
    SCRIPT_INDIC,
    SCRIPT_THAI,
    SCRIPT_OTHER,
    SCRIPTS
};
const char *script_name(enum script s); /* "zh", "ja", "ko", "Latin", … */
/* Of most letters; an ideograph is worth a short word of other scripts. */
enum script script_of(struct span text);

#endif
