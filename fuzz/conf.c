/* fuzz conf: any text as a configuration.  What is accepted must be valid, and print to a text that
 * parses back to the same bytes. */
#include <stdlib.h>

#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t n);

int LLVMFuzzerTestOneInput(const u8 *data, size_t n)
{
	static struct conf c, again;
	static struct conf_error err;
	char *text = malloc(n + 1), *printed;

	if (text == NULL)
		return 0;
	if (n != 0)
		memcpy(text, data, n);
	text[n] = '\0';
	if (conf_parse("fuzz", text, &c, &err) == E_OK) {
		ASSERT(conf_valid(&c));
		ASSERT(conf_print(&c, &printed) == E_OK);
		ASSERT(conf_parse("fuzz", printed, &again, &err) == E_OK);
		for (u32 i = 0; i < c.listeners; i++)
			again.listener[i].line = c.listener[i].line;
		ASSERT(memcmp(&c, &again, sizeof(c)) == 0);
		free(printed);
	} else {
		ASSERT(err.what[0] != '\0');
		ASSERT(err.hint[0] != '\0');
	}
	free(text);
	return 0;
}
