/* look: what a store holds, as keys (see timeline.py); read the way picketd reads it at its start.
 */
#ifndef DURABILITY_LOOK_H
#define DURABILITY_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOK_FILE "data.mdb"
#define KEYS_END  SIZE_MAX

/* A set of numbers other than 0 and 1. */
struct keys {
	uint64_t *slot;
	size_t cap, n, gone;
};
void keys_add(struct keys *k, uint64_t key);
bool keys_remove(struct keys *k, uint64_t key);
bool keys_has(const struct keys *k, uint64_t key);
void keys_clear(struct keys *k);
size_t keys_next(const struct keys *k, size_t from); /* the next place in use, or KEYS_END */
uint64_t keys_at(const struct keys *k, size_t i);

/* The operations of a timeline, and the key of a text in it. */
enum look_op { LOOK_MUST, LOOK_NEED_NOT, LOOK_MUST_NOT, LOOK_MAY };
uint64_t look_key(const char *text);
/* core gives a message the identifier that its sequence says. */
static inline uint32_t look_pid(uint64_t seq)
{
	return 1 + (uint32_t)(seq % UINT16_MAX);
}

struct look {
	struct keys found;
	uint64_t bad;	/* records that are damaged, or that nobody can have stored */
	char text[160]; /* why it cannot be opened */
	char dir[512];
	int dir_fd;
	struct name *name; /* session number -> client id */
	size_t nnames, cap_names;
};
bool look_start(struct look *l, const char *dir);
bool look(struct look *l); /* fills found, bad; false: text */

#endif
