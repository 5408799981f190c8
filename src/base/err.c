/* err: the texts and codes of the one error table.  Total: a value outside the enum reads as a
 * plain failure, never as success. */
#include "base/err.h"

struct err_row {
	u8 reason;
	const char *word, *text;
};

#define X(name, reason, word, text) [E_##name] = {reason, word, text},
static const struct err_row err_rows[E_N] = {ERR_TABLE(X)};
#undef X
static const struct err_row err_unknown = {0x80, "unknown", "unknown error"};

static const struct err_row *err_row(enum err e)
{
	return (unsigned)e < E_N ? &err_rows[e] : &err_unknown;
}

const char *err_text(enum err e)
{
	return err_row(e)->text;
}

const char *err_word(enum err e)
{
	return err_row(e)->word;
}

u8 err_reason(enum err e)
{
	return err_row(e)->reason;
}
