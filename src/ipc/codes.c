/* codes: one list of all messages that carry an id. */
#include "ipc/codes.h"

#define X(number, name, word, text, next) {number, word, text, next},
static const struct code_row rows[] = {AUTH_CODE_TABLE(X) ADMIN_CODE_TABLE(X)};
#undef X

const struct code_row *code_at(size_t i)
{
	return i < ARRAY_LEN(rows) ? &rows[i] : NULL;
}

const struct code_row *code_find(u32 number)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].number == number)
			return &rows[i];
	return NULL;
}
