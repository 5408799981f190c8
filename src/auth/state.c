/* state: the life of struct auth.  See state.h. */
#include <stdlib.h>
#include <sys/random.h>

#include "auth/bootstrap.h"
#include "auth/call.h"
#include "auth/expiry.h"
#include "auth/login.h"
#include "auth/policy.h"
#include "base/mem.h"

struct auth *auth_new(const struct auth_env *env, struct wheel *wheel)
{
	struct auth *a = xcalloc(1, sizeof(*a));
	struct hash_key key;

	ASSERT(getrandom(&key, sizeof(key), 0) == sizeof(key));
	a->magic = AUTH_MAGIC;
	a->env = env;
	a->wheel = wheel;
	throttle_init(&a->throttle, &key);
	TAILQ_INIT(&a->outs);
	TAILQ_INIT(&a->held);
	TAILQ_INIT(&a->calls);
	a->seen_timer.fire = login_seen_timer;
	a->confirm_timer.fire = policy_confirm_timer;
	a->expiry_timer.fire = expiry_timer;
	a->pump_timer.fire = change_pump_again;
	call_json_setup();
	return a;
}

void auth_free(struct auth **ap)
{
	struct auth *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	OBJ_CHECK(a, AUTH_MAGIC);
	if (a->db != NULL)
		login_seen_flush(a);
	hasher_free(&a->hasher);
	calls_free(a);
	change_free(a);
	login_free(a);
	bootstrap_free(a);
	timer_stop(a->wheel, &a->confirm_timer);
	timer_stop(a->wheel, &a->expiry_timer);
	db_close(&a->db);
	free(a->block);
	mem_wipe(a, sizeof(*a));
	free(a);
}
