/* crc_other: a processor family whose instruction, if any, is not used. */
#include "store/crc.h"

crc_fn *crc32c_hardware(void)
{
	return NULL;
}
