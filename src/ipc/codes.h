/* codes: the rows of codes.def and codes_admin.def, for whoever prints or sends one. */
#ifndef PICKET_IPC_CODES_H
#define PICKET_IPC_CODES_H

#include "base/base.h"
#include "ipc/codes.def"
#include "ipc/codes_admin.def"

#define X(number, name, word, text, next) CODE_##name = number,
enum admin_code { ADMIN_CODE_TABLE(X) };
#undef X

struct code_row {
	u32 number;
	const char *word, *text, *next;
};
const struct code_row *code_at(size_t i);     /* in order; NULL past the last */
const struct code_row *code_find(u32 number); /* NULL: no such code */

#endif
