/* utf8: well-formedness of strings (RFC 3629; MQTT 5.0 section 1.5.4). */
#ifndef PICKET_BASE_UTF8_H
#define PICKET_BASE_UTF8_H

#include "base/base.h"

/* Well-formed, no U+0000, no surrogates, nothing above U+10FFFF, and by policy no control
 * characters (U+0001..U+001F, U+007F..U+009F) and no noncharacters.  MQTT-1.5.4-1, -2. */
bool utf8_ok(struct slice s) MUST;
/* The length, 1..4, of the acceptable character that begins at p; 0 when there is none in the n
 * bytes. */
size_t utf8_one(const u8 *p, size_t n) MUST;

/* Are all eight bytes of v printable ASCII (0x20..0x7e)?  With the high bits clear, adding one
 * carries into them only from 0x7f, and subtracting 0x20 borrows into them only when a byte is
 * below 0x20. */
static inline bool utf8_plain8(u64 v)
{
	const u64 ones = 0x0101010101010101;

	return ((v | (v + ones) | (v - 0x20 * ones)) & 0x80 * ones) == 0;
}

#endif
