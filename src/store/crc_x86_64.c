/* crc_x86_64: the crc32 instruction of SSE 4.2. */
#include <nmmintrin.h>

#include "store/crc.h"

__attribute__((target("sse4.2"))) static u32 crc_sse42(u32 crc, const void *p, size_t n)
{
	const u8 *b = p;
	u64 c = (u32)~crc, v;

	for (; n >= 8; n -= 8, b += 8) {
		memcpy(&v, b, 8);
		c = _mm_crc32_u64(c, v);
	}
	for (; n > 0; n--)
		c = _mm_crc32_u8((u32)c, *b++);
	return ~(u32)c;
}

crc_fn *crc32c_hardware(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("sse4.2") ? crc_sse42 : NULL;
}
