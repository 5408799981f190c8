/* salvage: see look.h.  The new store is opened before the sandbox closes, the damaged one is read
 * after. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ipc/ipc.h"
#include "proc/broker_i.h"
#include "proc/look.h"
#include "proc/sandbox.h"
#include "store/kv_lmdb.h"
#include "store/salvage.h"

static bool conf_read(struct conf *c)
{
	struct slice s;

	if (ipc_memfd_map(SALVAGE_FD_CONF, sizeof(*c), &s) != E_OK)
		return false;
	memcpy(c, s.p, sizeof(*c));
	munmap((void *)(uintptr_t)s.p, s.n);
	return conf_valid(c);
}

static bool seal_make(const struct conf *c, struct seal **seal)
{
	u8 text[2 * STORE_KEY_BYTES + 2], key[STORE_KEY_BYTES];
	ssize_t n;
	bool ok;

	*seal = NULL;
	if (!c->store_encryption)
		return true;
	n = pread(SALVAGE_FD_KEY, text, sizeof(text), 0);
	ok = n > 0 && store_key_read(slice_of(text, (size_t)n), key);
	if (ok)
		*seal = seal_new(key);
	mem_wipe(text, sizeof(text));
	mem_wipe(key, sizeof(key));
	return ok && *seal != NULL;
}

static u64 sum(const u64 n[KV_DBS])
{
	u64 all = 0;

	for (u32 i = KV_META + 1; i < KV_DBS; i++)
		all += n[i];
	return all;
}

static void tell(enum err e, const struct salvage_report *r, struct look *l)
{
	l->records = sum(r->kept);
	l->damaged = sum(r->damaged);
	l->lost = r->orphans + r->pages.lost + r->databases_lost;
	if (e != E_OK)
		snprintf(l->text, sizeof(l->text), "nothing could be saved: %s", err_text(e));
	else
		snprintf(l->text, sizeof(l->text),
			 "saved %llu sessions, %llu subscriptions, %llu queued and %llu retained "
			 "messages; %llu records are damaged, %llu more are lost with them",
			 (unsigned long long)r->kept[KV_SESSIONS],
			 (unsigned long long)r->kept[KV_SUBS],
			 (unsigned long long)r->kept[KV_QUEUE],
			 (unsigned long long)r->kept[KV_RETAINED], (unsigned long long)l->damaged,
			 (unsigned long long)l->lost);
}

static int run(struct kv *kv, struct seal *seal)
{
	struct salvage_report r = {0};
	struct m_ready ready;
	struct look l = {0};
	enum err e = E_STATE;

	if (sandbox_enter(ROLE_SALVAGE, &ready))
		e = salvage_into(kv, SALVAGE_FD_DATA, seal, &r);
	tell(e, &r, &l);
	look_write(SALVAGE_FD_RESULT, &l);
	kv->class->close(&kv);
	return e == E_OK ? SALVAGE_DONE : SALVAGE_NOTHING;
}

int salvage_main(void)
{
	struct conf *c = xmalloc(sizeof(*c));
	struct store_options o = {.dir_fd = SALVAGE_FD_FOLDER};
	struct seal *seal;
	struct kv *kv;
	char path[64], text[200];
	int code = SALVAGE_NOTHING;

	log_setup("salvage", LOG_INFO);
	if (!conf_read(c) || !seal_make(c, &seal))
		return SALVAGE_NOTHING;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", SALVAGE_FD_FOLDER);
	o.path = path;
	o.map_bytes = c->store_max_size;
	if (kv_lmdb_open(&kv, &o, text, sizeof(text)) == E_OK)
		code = run(kv, seal);
	else
		log_msg(LOG_ERROR, "store", "no new store can be made: %s", text);
	seal_free(&seal);
	free(c);
	return code;
}
