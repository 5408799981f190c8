/* crc_aarch64: the CRC instructions that are optional in ARMv8.0. */
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "store/crc.h"

__attribute__((target("+crc"))) static u32 crc_armv8(u32 crc, const void *p, size_t n)
{
	const u8 *b = p;
	u32 c = ~crc;
	u64 v;

	for (; n >= 8; n -= 8, b += 8) {
		memcpy(&v, b, 8);
		c = __crc32cd(c, v);
	}
	for (; n > 0; n--)
		c = __crc32cb(c, *b++);
	return ~c;
}

crc_fn *crc32c_hardware(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32 ? crc_armv8 : NULL;
}
