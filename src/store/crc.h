/* crc: CRC-32C, the checksum of records (RFC 3720 appendix B.4), with the processor's instruction
 * where there is one. */
#ifndef PICKET_STORE_CRC_H
#define PICKET_STORE_CRC_H

#include "base/base.h"

/* Of n more bytes; begin with 0.  crc32c(crc32c(0, a), b) is that of a and b in a row. */
u32 crc32c(u32 crc, const void *p, size_t n);
/* The same by table, whatever the processor has. */
u32 crc32c_table(u32 crc, const void *p, size_t n);

typedef u32 crc_fn(u32 crc, const void *p, size_t n);
/* From the file of this processor family: NULL where it cannot. */
crc_fn *crc32c_hardware(void);

#endif
