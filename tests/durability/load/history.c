/* history: the file of everything that was seen.  One line of JSON, then records of 32 bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "load.h"

struct record {
	u64 ns;
	u16 client;
	u8 kind, flags;
	u32 conn, a, b, c, d;
};
_Static_assert(sizeof(struct record) == 32, "check.py reads records of 32 bytes");

static FILE *file;

u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

void history_open(const char *path)
{
	file = fopen(path, "wb");
	if (file == NULL) {
		perror(path);
		exit(1);
	}
	setvbuf(file, NULL, _IOFBF, 1 << 20);
}

void history_header(const char *json)
{
	fputs(json, file);
}

void history_add(enum event kind, u32 client, u32 conn, u32 flags, u32 a, u32 b, u32 c, u32 d)
{
	struct record r = {now_ns(), (u16)client, (u8)kind, (u8)flags, conn, a, b, c, d};

	if (fwrite(&r, sizeof(r), 1, file) != 1) {
		perror("history");
		exit(1);
	}
}

void history_close(void)
{
	if (fclose(file) != 0) {
		perror("history");
		exit(1);
	}
}
