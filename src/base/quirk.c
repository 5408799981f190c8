/* quirk: see quirk.h. */
#include "base/quirk.h"

static const struct {
	const char *name, *text;
} quirks[QUIRK_N] = {
#define X(name, text) {#name, text},
	QUIRK_TABLE(X)
#undef X
};

const char *quirk_name(enum quirk q)
{
	ASSERT(q < QUIRK_N);
	return quirks[q].name;
}

const char *quirk_text(enum quirk q)
{
	ASSERT(q < QUIRK_N);
	return quirks[q].text;
}

enum quirk quirk_find(const char *name)
{
	u32 i = 0;

	while (i < QUIRK_N && strcmp(quirks[i].name, name) != 0)
		i++;
	return (enum quirk)i;
}
