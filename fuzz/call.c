/* call: the JSON that admin hands to auth, one call after another, over a real store in memory's
 * file system.  What comes out must be JSON, and every call must be answered. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "auth/call.h"
#include "auth/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u64 now_ms = 1000000;
static u32 answers;

static u64 fuzz_now(void *arg)
{
	(void)arg;
	return now_ms;
}

static u64 fuzz_wall(void *arg)
{
	(void)arg;
	return 1800000000000ull + now_ms;
}

static enum err fuzz_broker(void *arg, enum ipc_type type, u64 id, const void *body,
			    struct slice tail, int fd)
{
	(void)arg;
	return E_STATE; /* no broker: every call is answered at once */
}

static void fuzz_reply(void *arg, u64 id, enum err err, struct slice json)
{
	json_t *j = json_loadb((const char *)json.p, json.n, 0, NULL);

	(void)arg;
	ASSERT(json_is_object(j));
	ASSERT((err == E_OK) == (json_object_get(j, "error") == NULL));
	json_decref(j);
	answers++;
}

static enum err fuzz_file(void *arg, enum file_name file, u32 index)
{
	(void)arg;
	return E_STATE;
}

static const struct auth_env env = {NULL, fuzz_now, fuzz_wall, fuzz_broker, fuzz_reply, fuzz_file};

static struct auth *begin(struct wheel *wheel, char path[64])
{
	struct auth *a;

	wheel_init(wheel, now_ms);
	a = auth_new(&env, wheel);
	snprintf(path, 64, "/dev/shm/picket-fuzz-%d.db", (int)getpid());
	ASSERT(db_open(path, &a->db, NULL, 0) == E_OK);
	ASSERT(policy_load(a) == E_OK);
	a->hasher = hasher_new(1);
	a->has_conf = a->has_key = a->has_boot = true;
	return a;
}

/* Begin again now and then: the store grows, and a find has to repeat. */
static void end(struct auth **a, const char *path)
{
	char name[80];
	const char *ends[] = {"", "-wal", "-shm"};

	auth_free(a);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
}

/* Calls are separated by a zero byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wheel wheel;
	static struct auth *a;
	static char path[64];
	static u32 runs;
	struct slice rest = slice_of(data, size);
	struct m_call m = {.admin = 1};

	if (a == NULL)
		a = begin(&wheel, path);
	for (u32 n = 0; n < 16 && rest.n != 0; n++) {
		const u8 *zero = memchr(rest.p, 0, rest.n);
		size_t len = zero == NULL ? rest.n : (size_t)(zero - rest.p);
		u32 before = answers;

		call_start(a, n, &m, slice_of(rest.p, len));
		while (answers == before) {
			usleep(1000); /* a password is being hashed */
			hasher_collect(a->hasher);
		}
		rest = slice_skip(rest, len + 1);
		now_ms += 100;
		wheel_advance(&wheel, now_ms);
	}
	if (++runs % 2000 == 0)
		end(&a, path);
	return 0;
}
