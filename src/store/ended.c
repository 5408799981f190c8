/* ended: sessions that are gone.  Their records are deleted in slices, so that one with a hundred
 * thousand messages does not stop the others; what is not deleted in the transaction that ended the
 * session waits under a record of KV_ENDED, which survives a crash. */
#include "store/engine.h"

/* All records of the session in a database, as far as this transaction may; *left: not all. */
static enum err slice_of_db(struct store *s, enum kv_db db, u64 sid, bool *left)
{
	struct kv_item it;
	enum err e = s->kv->class->seek(s->txn, db, sid, 0, &it);

	ASSERT(!*left);
	while (e == E_OK && it.a == sid) {
		if (s->ended_left == 0 || s->ended_bytes == 0) {
			*left = true;
			return E_OK;
		}
		s->ended_left--;
		s->ended_bytes -= MIN(s->ended_bytes, it.value.n);
		if (db == KV_QUEUE)
			e = queue_forget(s, &it);
		if (e == E_OK)
			e = engine_del(s, db);
		if (e == E_OK)
			e = s->kv->class->next(s->txn, db, &it);
	}
	return e == E_NOT_FOUND ? E_OK : e;
}

static enum err slice(struct store *s, u64 sid, bool *left)
{
	static const enum kv_db dbs[] = {KV_QUEUE, KV_SUBS, KV_PIDS, KV_DROPS};
	enum err e = E_OK;

	*left = false;
	for (size_t i = 0; i < ARRAY_LEN(dbs) && e == E_OK && !*left; i++)
		e = slice_of_db(s, dbs[i], sid, left);
	ASSERT(!*left || s->ended_left == 0 || s->ended_bytes == 0);
	return e;
}

enum err ended_begin(struct store *s, u64 sid)
{
	const struct place at = {KV_ENDED, sid, 0};
	bool left;
	enum err e = slice(s, sid, &left);

	ASSERT(sid != 0);
	if (e != E_OK || !left)
		return e;
	s->ended = true;
	return engine_put(s, &at, KV_REPLACE, REC_ENDED, fields_nothing, NULL);
}

enum err ended_go_on(struct store *s)
{
	struct kv_item it;
	bool left;
	enum err e;

	while (s->ended && s->ended_left > 0 && s->ended_bytes > 0) {
		e = s->kv->class->seek(s->txn, KV_ENDED, 0, 0, &it);
		s->ended = e == E_OK;
		if (e != E_OK)
			return e == E_NOT_FOUND ? E_OK : e;
		e = slice(s, it.a, &left);
		if (e != E_OK || left)
			return e;
		s->ended_left--; /* the record itself */
		e = engine_del(s, KV_ENDED);
		if (e != E_OK)
			return e;
	}
	ASSERT(s->ended_left <= LIM_ENDED);
	return E_OK;
}
