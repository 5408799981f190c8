/* planted: is this fault switched on?  Only in the build that planted.py makes; the number comes
 * from the environment. */
#ifndef PICKET_PLANTED_H
#define PICKET_PLANTED_H

#include <stdlib.h>

static inline int planted(int number)
{
	static int on = -1;

	if (on < 0) {
		const char *s = getenv("PICKET_PLANTED");
		on = s != NULL ? atoi(s) : 0;
	}
	return on == number;
}

/* The user properties that end a block, in the opposite order; blocks of up to 16 of them, all
 * written short. */
static inline void planted_reverse(unsigned char *p, size_t n)
{
	unsigned char copy[512], *at[17];
	size_t i = 0, k = 0, to;

	while (i < n && p[i] != 0x26)
		i++;
	if (n > sizeof(copy))
		return;
	for (to = i; i < n && p[i] == 0x26 && k < 16; k++) {
		at[k] = p + i;
		i += 3u + p[i + 2];
		i += 2u + p[i + 1];
	}
	at[k] = p + i;
	while (k-- > 0) {
		__builtin_memcpy(copy + to, at[k], (size_t)(at[k + 1] - at[k]));
		to += (size_t)(at[k + 1] - at[k]);
	}
	for (i = 0; i < n && p[i] != 0x26; i++)
		;
	__builtin_memcpy(p + i, copy + i, to - i);
}

#endif
