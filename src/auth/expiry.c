/* expiry: credentials end when their time is over.  See expiry.h. */
#include "auth/change.h"
#include "auth/expiry.h"
#include "base/log.h"

enum { EXPIRY_AT_ONCE = 256, EXPIRY_RETRY_MS = 10000, EXPIRY_LOOK_MS = 3600 * 1000 };

void expiry_schedule(struct auth *a)
{
	u64 next = 0, wall = auth_wall(a);

	timer_stop(a->wheel, &a->expiry_timer);
	if (credential_next_expiry(a->db, &next) != E_OK || next == 0)
		return;
	/* Look once an hour: the wall clock may be set meanwhile. */
	timer_start(a->wheel, &a->expiry_timer,
		    auth_now(a) + MIN(next - MIN(wall, next), (u64)EXPIRY_LOOK_MS));
}

static enum err expire_some(struct auth *a, struct change *c)
{
	u64 identity = 0;
	enum err e = change_begin(a, c);

	for (u32 n = 0; e == E_OK && n < EXPIRY_AT_ONCE; n++) {
		e = credential_expire_one(a->db, auth_wall(a), &identity);
		if (e == E_OK)
			e = change_identity(a, c, identity);
	}
	if (e == E_OK || e == E_NOT_FOUND)
		e = change_commit(a, c, NULL);
	change_abort(a, c);
	return e;
}

void expiry_timer(struct timer *t)
{
	struct auth *a = CONTAINER_OF(t, struct auth, expiry_timer);
	struct change c = {0};
	u64 next = 0;
	enum err e = E_OK;

	OBJ_CHECK(a, AUTH_MAGIC);
	if (credential_next_expiry(a->db, &next) == E_OK && next != 0 && next <= auth_wall(a))
		e = expire_some(a, &c);
	if (e == E_OK) {
		expiry_schedule(a);
		return;
	}
	/* A login with it is refused all the same: every check looks at the time. */
	log_msg(LOG_ERROR, "store", "credentials could not be ended: %s", db_why(a->db));
	timer_start(a->wheel, &a->expiry_timer, auth_now(a) + EXPIRY_RETRY_MS);
}
