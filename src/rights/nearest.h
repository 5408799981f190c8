/* nearest: which known word a misspelt one was meant to be.  Internal to rights. */
#ifndef PICKET_RIGHTS_NEAREST_H
#define PICKET_RIGHTS_NEAREST_H

#include "base/base.h"

/* The known word (the list ends with NULL) within two typing errors of word (one, for a word of up
 * to four letters); NULL when there is none. */
const char *nearest_word(struct slice word, const char *const *known);

#endif
