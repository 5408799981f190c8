/* The server_name extension of a ClientHello: what is taken for a name is one, and lies inside. */
#include <string.h>

#include "net/tls_i.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = tls_sni_name(slice_of(data, size));

	if (s.n == 0)
		return 0;
	ASSERT(s.n <= LIM_TLS_NAME && s.n == size - 5 && s.p == data + 5);
	for (size_t i = 0; i < s.n; i++)
		ASSERT((s.p[i] | 0x20) > 0x20 && s.p[i] < 0x7f && s.p[i] != '/' && s.p[i] != '*');
	return 0;
}
