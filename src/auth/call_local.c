/* call_local: which user of this machine an identity is.  See call.h. */
#include <stdio.h>

#include "auth/call.h"

enum { LINE = 300 };

static enum err local_write(struct auth *a, struct call *c, const struct identity *i, bool nobody,
			    u32 uid)
{
	enum err e = nobody ? identity_clear_uid(a->db, i->id)
			    : identity_set_uid(a->db, i->id, uid, change_serial(a, &c->change));

	if (e == E_EXISTS) {
		call_refuse(c, CODE_UID_TAKEN, "another identity is the local user %u already",
			    uid);
		return E_OK;
	}
	return e == E_OK ? change_identity(a, &c->change, i->id) : e;
}

static void local_say(struct call *c, const struct identity *i, bool nobody, u32 uid)
{
	char what[LINE], undo[LINE];
	const char *kind = kind_word(i->kind);

	if (nobody)
		snprintf(what, sizeof(what), "%s %s is no local user", kind, i->name);
	else
		snprintf(what, sizeof(what), "%s %s is the local user %u", kind, i->name, uid);
	if (i->uid_serial != 0)
		snprintf(undo, sizeof(undo), "picket %s local %s %u", kind, i->name, i->uid);
	else
		snprintf(undo, sizeof(undo), "picket %s local %s nobody", kind, i->name);
	call_say(c, what,
		 nobody ? "its connections by user id are closed, and refused from now on"
			: "whoever has this user id logs in at a unix socket without a secret",
		 undo, NULL);
}

void op_identity_local(struct auth *a, struct call *c)
{
	bool nobody = json_object_get(c->req, "uid") == NULL;
	u64 uid = call_num(c, "uid", 0);
	struct identity i, now;

	if (uid >= UINT32_MAX || uid == UID_UNKNOWN)
		call_refuse(c, CODE_ARGUMENT, "%llu is the user id of nobody in particular",
			    (unsigned long long)uid);
	if (!call_identity(a, c, "name", &i))
		return;
	if (!status_lives(i.status))
		call_refuse(c, CODE_NOT_ACTIVE, "\"%s\" is %s", i.name, status_word(i.status));
	if (nobody ? i.uid_serial == 0 : i.uid_serial != 0 && i.uid == uid)
		call_refuse(c, CODE_ALREADY, "it is so already");
	if (!call_begin(a, c) || !call_end(a, c, local_write(a, c, &i, nobody, (u32)uid)))
		return;
	if (identity_by_id(a->db, i.id, &now) == E_OK)
		call_set(c, "identity", identity_json(a, &now));
	local_say(c, &i, nobody, (u32)uid);
}
