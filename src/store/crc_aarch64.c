/* crc_aarch64: the CRC instructions, which are optional in ARMv8.0; spelled in assembly, since the
 * intrinsics exist only where a whole file is compiled for a processor that has them. */
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "store/crc.h"

static u32 crc_armv8(u32 crc, const void *p, size_t n)
{
	const u8 *b = p;
	u32 c = ~crc;
	u64 v;

	for (; n >= 8; n -= 8, b += 8) {
		memcpy(&v, b, 8);
		__asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(c) : "r"(v));
	}
	for (; n > 0; n--, b++)
		__asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(c) : "r"((u32)*b));
	return ~c;
}

crc_fn *crc32c_hardware(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32 ? crc_armv8 : NULL;
}
