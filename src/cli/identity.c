/* identity: add, rotate and restore hand out credentials; the rest asks auth and prints. */
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "cli/client.h"
#include "cli/identity.h"
#include "cli/issue.h"
#include "cli/out.h"
#include "cli/secret_in.h"
#include "ipc/codes.h"

static json_t *roles_asked(const struct cli *c)
{
	json_t *roles = json_array();

	for (u32 i = 0; i < c->opt[OPT_ROLE].n; i++)
		json_array_append_new(roles, json_string(c->opt[OPT_ROLE].v[i]));
	return roles;
}

/* Strings that are not UTF-8 become null, which auth refuses by name. */
static void set_text(json_t *call, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(call, key, json_string(value) ?: json_null());
}

static void set_secret(json_t *call, const char *key, const struct secret *s)
{
	json_object_set_new(call, key, json_stringn((const char *)s->b, s->n) ?: json_null());
}

static int usage(struct cli *c, const char *why)
{
	fprintf(c->err, "usage    %s\n", why);
	return CLI_USAGE;
}

/* ---- add
 * ----------------------------------------------------------------------------------------- */

struct add {
	const char *kind;
	bool token;
	u64 count;	      /* 0: by name */
	json_t *roles, *made; /* made: the identities so far */
	struct secret password;
	struct issue issue;
};

static int add_check(struct cli *c, struct add *a)
{
	const char *count = cli_value(c, OPT_COUNT), *prefix = cli_value(c, OPT_PREFIX);

	if ((count == NULL) != (prefix == NULL) || (count != NULL) == (c->nargs > 0))
		return usage(c, "give either NAME, or --count N --prefix PREFIX");
	if (count != NULL &&
	    (num_parse(slice_str(count), 100000, &a->count) != E_OK || a->count == 0))
		return usage(c, "--count is a number from 1 to 100000");
	if (!a->token && (cli_has(c, OPT_OUT) || cli_has(c, OPT_PRINT)))
		return usage(c, "files and --print are for a generated token; take --token");
	if (!a->token && (a->count > 0 || c->nargs > 1))
		return usage(c, "a password belongs to one name; take --token for several");
	return 0;
}

/* "token" or "password" by --auth, --token, a given password, or the kind's habit. */
static int add_credential(struct cli *c, struct add *a, enum credential_default usual)
{
	const char *auth = cli_value(c, OPT_AUTH);
	bool given = cli_has(c, OPT_PASSWORD_FILE) || cli_has(c, OPT_PASSWORD_STDIN);

	if (auth != NULL && strcmp(auth, "token") != 0 && strcmp(auth, "password") != 0)
		return usage(c, "--auth is token or password");
	a->token = auth != NULL ? strcmp(auth, "token") == 0 : usual == GENERATED_TOKEN && !given;
	if (cli_has(c, OPT_TOKEN))
		a->token = true;
	return a->token && given ? usage(c, "a token is generated; leave out the password") : 0;
}

static json_t *add_call(struct cli *c, const struct add *a, const char *name)
{
	json_t *call = json_pack("{s:s,s:s,s:O,s:s}", "op", "identity.add", "kind", a->kind,
				 "roles", a->roles, "auth", a->token ? "token" : "password");

	set_text(call, "name", name);
	set_text(call, "group", cli_value(c, OPT_GROUP));
	set_text(call, "client_id", cli_value(c, OPT_CLIENT_ID));
	if (name == NULL) {
		json_object_set_new(call, "count", json_integer((json_int_t)a->count));
		set_text(call, "prefix", cli_value(c, OPT_PREFIX));
	}
	if (!a->token)
		set_secret(call, "password", &a->password);
	return call;
}

/* What was made is taken back: no half bundle, and no identity whose secret nobody has. */
static void add_undo(struct cli *c, const struct add *a)
{
	const json_t *id;
	size_t i;

	if (cli_has(c, OPT_DRY_RUN))
		return;
	json_array_foreach(a->made, i, id)
	{
		struct answer ans;
		json_t *call = json_pack("{s:s,s:O}", "op", "identity.remove", "name",
					 json_object_get(id, "name"));

		if (client_request(c->run_dir, "/v1/call", call, &ans) == E_OK)
			answer_free(&ans);
	}
}

static int add_make(struct cli *c, struct add *a, json_t **reply)
{
	u32 n = a->count > 0 ? 1 : c->nargs;

	for (u32 i = 0; i < n; i++) {
		int rc;

		json_decref(*reply);
		rc = ask_auth(c, add_call(c, a, a->count > 0 ? NULL : c->arg[i]), reply);
		if (rc != 0)
			return rc;
		json_array_extend(a->made, json_object_get(*reply, "identities"));
	}
	return issue_write(c, &a->issue, a->made);
}

/* Secrets leave this process once: into files or to a terminal, not into JSON. */
static void tokens_forget(json_t *list)
{
	json_t *id;
	size_t i;

	json_array_foreach(list, i, id) json_object_del(id, "token");
}

/* The first rule of each kind: a reminder of what the role is about. */
static void rules_tell(struct cli *c, const struct site *s)
{
	if (s->may_publish[0] == 0 && s->subscribe[0] == 0)
		return;
	fputs("  (", c->out);
	if (s->may_publish[0] != 0)
		fputs("pub ", c->out);
	out_escaped(c->out, slice_str(s->may_publish));
	if (s->subscribe[0] != 0)
		fputs(s->may_publish[0] != 0 ? "  sub " : "sub ", c->out);
	out_escaped(c->out, slice_str(s->subscribe));
	fputc(')', c->out);
}

static void names_tell(struct cli *c, const struct add *a)
{
	size_t n = json_array_size(a->made);
	const json_t *first = json_array_get(a->made, 0), *last = json_array_get(a->made, n - 1);
	const json_t *role;
	size_t i;

	fprintf(c->out, "%zu %s%s ", n, a->kind, n == 1 ? "" : "s");
	out_member(c->out, first, "name");
	if (n > 1) {
		fputs("..", c->out);
		out_member(c->out, last, "name");
	}
	fputs("  role", c->out);
	json_array_foreach(a->roles, i, role)
	{
		fputc(' ', c->out);
		out_escaped(c->out, slice_str(json_string_value(role)));
	}
	if (json_array_size(a->roles) == 0)
		fputs(" none: may do nothing yet", c->out);
	rules_tell(c, &a->issue.site);
	fputc('\n', c->out);
}

static int add_tell(struct cli *c, const struct add *a, json_t *reply)
{
	bool warn = a->issue.site.host_unsure;

	if (cli_has(c, OPT_JSON)) {
		if (!cli_has(c, OPT_PRINT))
			tokens_forget(a->made);
		json_object_set(reply, "identities", a->made);
		if (a->issue.out != NULL)
			json_object_set_new(reply, "out", json_string(a->issue.out));
		out_json(c->out, reply);
		return warn ? CLI_WARNED : CLI_DONE;
	}
	names_tell(c, a);
	if (a->issue.bundles != NULL)
		json_object_del(reply, "next"); /* the bundle has a better one */
	json_object_del(reply, json_array_size(a->made) > 1 ? "changed" : "");
	out_four(c->out, reply);
	issue_tell(c, &a->issue, a->made);
	return warn ? CLI_WARNED : CLI_DONE;
}

int identity_add(struct cli *c, const char *kind, enum credential_default credential)
{
	struct add a = {.kind = kind, .roles = roles_asked(c), .made = json_array()};
	json_t *reply = NULL;
	int rc = add_credential(c, &a, credential);

	if (rc == 0)
		rc = add_check(c, &a);
	if (rc == 0 && !a.token)
		rc = secret_in(c, "password", &a.password);
	if (rc == 0 && a.token)
		rc = issue_begin(c, a.roles, c->arg, a.count > 0 ? 0 : c->nargs, &a.issue);
	if (rc == 0) {
		rc = add_make(c, &a, &reply);
		if (rc != 0)
			add_undo(c, &a);
		else
			rc = add_tell(c, &a, reply);
	}
	issue_end(&a.issue);
	secret_clear(&a.password);
	json_decref(a.made);
	json_decref(a.roles);
	json_decref(reply);
	return rc;
}

/* ---- a new credential of one that exists
 * ---------------------------------------------------------- */

static json_t *name_call(struct cli *c, const char *op)
{
	json_t *call = json_pack("{s:s}", "op", op);

	set_text(call, "name", c->arg[0]);
	return call;
}

/* The roles of c->arg[0], for the topics of its files.  New reference. */
static int roles_held(struct cli *c, json_t **roles)
{
	json_t *reply;
	int rc = ask_json(c, "/v1/call", name_call(c, "identity.show"), &reply);

	*roles = NULL;
	if (rc != 0)
		return rc;
	*roles = json_incref(json_object_get(json_object_get(reply, "identity"), "roles"));
	json_decref(reply);
	return 0;
}

static int reissue_tell(struct cli *c, const struct issue *is, json_t *reply, json_t *made)
{
	if (cli_has(c, OPT_JSON)) {
		if (!cli_has(c, OPT_PRINT))
			json_object_del(reply, "token");
		out_json(c->out, reply);
	} else {
		if (is->bundles != NULL)
			json_object_del(reply, "next");
		out_four(c->out, reply);
		issue_tell(c, is, made);
	}
	return is->site.host_unsure ? CLI_WARNED : CLI_DONE;
}

/* Takes call; its answer has a token. */
static int reissue(struct cli *c, json_t *call)
{
	struct issue is = {0};
	json_t *roles, *reply = NULL, *made;
	int rc = roles_held(c, &roles);

	if (rc == 0)
		rc = issue_begin(c, roles, c->arg, 1, &is);
	if (rc == 0)
		rc = ask_auth(c, json_incref(call), &reply);
	if (rc == 0) {
		made = json_pack("[{s:s,s:O?}]", "name", c->arg[0], "token",
				 json_object_get(reply, "token"));
		rc = issue_write(c, &is, made);
		if (rc == 0)
			rc = reissue_tell(c, &is, reply, made);
		else
			out_line(c->err, "note",
				 "the new token is lost, the old one may have ended; make another "
				 "with: "
				 "rotate");
		json_decref(made);
	}
	issue_end(&is);
	json_decref(roles);
	json_decref(reply);
	json_decref(call);
	return rc;
}

int identity_rotate(struct cli *c)
{
	const char *overlap = cli_value(c, OPT_OVERLAP);
	json_t *call;
	u64 ms = 0;

	if (overlap != NULL && num_parse_duration(slice_str(overlap), &ms) != E_OK)
		return usage(c, "--overlap is a time such as 24h");
	call = name_call(c, "identity.rotate");
	if (overlap != NULL)
		json_object_set_new(call, "overlap_s", json_integer((json_int_t)(ms / 1000)));
	return reissue(c, call);
}

int identity_restore(struct cli *c)
{
	return reissue(c, name_call(c, "identity.restore"));
}

int identity_password(struct cli *c)
{
	struct secret s = {0};
	json_t *call;
	int rc = secret_in(c, "password", &s);

	if (rc != 0)
		return rc;
	call = name_call(c, "identity.password");
	set_secret(call, "password", &s);
	secret_clear(&s);
	return ask_auth_four(c, call);
}

/* ---- the rest
 * ------------------------------------------------------------------------------------ */

int identity_roles(struct cli *c)
{
	json_t *call = name_call(c, "identity.roles");

	json_object_set_new(call, "roles", roles_asked(c));
	return ask_auth_four(c, call);
}

/* A number, or a name that this machine knows. */
static bool user_id(const char *user, u64 *uid)
{
	const struct passwd *pw;

	if (num_parse(slice_str(user), UINT32_MAX - 1, uid) == E_OK)
		return true;
	pw = getpwnam(user);
	if (pw != NULL)
		*uid = pw->pw_uid;
	return pw != NULL;
}

int identity_local(struct cli *c)
{
	json_t *call = name_call(c, "identity.local");
	u64 uid = 0;

	if (strcmp(c->arg[1], "nobody") != 0 && !user_id(c->arg[1], &uid)) {
		json_decref(call);
		fprintf(c->err, "usage    this machine has no user of that name; name one, or its "
				"number, or nobody\n");
		return CLI_USAGE;
	}
	if (strcmp(c->arg[1], "nobody") != 0)
		json_object_set_new(call, "uid", json_integer((json_int_t)uid));
	return ask_auth_four(c, call);
}

int identity_revoke(struct cli *c)
{
	json_t *call = name_call(c, "identity.revoke");

	set_text(call, "reason", cli_value(c, OPT_REASON));
	return ask_auth_four(c, call);
}

int identity_remove(struct cli *c)
{
	if (!confirmed(c, "Forget it, its credentials and its sessions, for good?"))
		return out_refuse(c, CODE_NOT_CONFIRMED, NULL);
	return ask_auth_four(c, name_call(c, "identity.remove"));
}

static void joined(const json_t *list, char *out, size_t cap)
{
	const json_t *v;
	size_t i, n = 0;

	out[0] = 0;
	json_array_foreach(list, i, v)
	{
		const char *s = json_string_value(v);

		if (s != NULL && n < cap)
			n += (size_t)snprintf(out + n, cap - n, "%s%s", i > 0 ? "," : "", s);
	}
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL && s[0] != 0 ? s : "-";
}

static u64 number_of(const json_t *object, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(object, key));

	return v > 0 ? (u64)v : 0;
}

static void list_row(struct out_table *t, const json_t *id, u64 now)
{
	char roles[512], seen[64];

	joined(json_object_get(id, "roles"), roles, sizeof(roles));
	out_ago(number_of(id, "last_seen"), now, seen, sizeof(seen));
	out_table_cell(t, text_of(id, "name"));
	out_table_cell(t, text_of(id, "status"));
	out_table_cell(t, roles[0] ? roles : "-");
	out_table_cell(t, text_of(id, "group"));
	out_table_cell(t, seen);
}

int identity_list(struct cli *c, const char *kind)
{
	static const char *const titles[] = {"NAME", "STATUS", "ROLES", "GROUP", "LAST SEEN"};
	json_t *call = json_pack("{s:s,s:s}", "op", "identity.list", "kind", kind), *reply;
	struct out_table t;
	const json_t *id;
	size_t i;
	int rc;

	if (cli_has(c, OPT_NEVER))
		json_object_set_new(call, "never", json_true());
	set_text(call, "prefix", cli_value(c, OPT_PREFIX));
	rc = ask_json(c, "/v1/call", call, &reply);
	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON)) {
		out_json(c->out, reply);
	} else {
		out_table_begin(&t, titles, ARRAY_LEN(titles));
		json_array_foreach(json_object_get(reply, "identities"), i, id)
			list_row(&t, id, clock_wall_ms());
		out_table_end(&t, c->out);
	}
	json_decref(reply);
	return CLI_DONE;
}

static void show_credentials(struct cli *c, const json_t *list)
{
	const json_t *v;
	char ago[64];
	size_t i;

	json_array_foreach(list, i, v)
	{
		out_word(c->out, "");
		fputs("  #", c->out);
		out_member(c->out, v, "number");
		fputs("  ", c->out);
		out_member(c->out, v, "type");
		fputs("  ", c->out);
		out_member(c->out, v, "state");
		out_ago(number_of(v, "created"), clock_wall_ms(), ago, sizeof(ago));
		fprintf(c->out, "  made %s", ago);
		out_ago(number_of(v, "last_used"), clock_wall_ms(), ago, sizeof(ago));
		fprintf(c->out, "  used %s\n", ago);
	}
}

static void show_person(struct cli *c, const json_t *id)
{
	char text[512];

	out_line(c->out, "name", text_of(id, "name"));
	out_line(c->out, "kind", text_of(id, "kind"));
	out_line(c->out, "status", text_of(id, "status"));
	joined(json_object_get(id, "roles"), text, sizeof(text));
	out_line(c->out, "roles", text[0] ? text : "none: may do nothing");
	out_line(c->out, "group", text_of(id, "group"));
	out_line(c->out, "clients", text_of(id, "client_id"));
	if (json_object_get(id, "unix_user") != NULL) {
		snprintf(text, sizeof(text), "user id %llu, at a unix socket",
			 (unsigned long long)number_of(id, "unix_user"));
		out_line(c->out, "local", text);
	}
	out_ago(number_of(id, "last_seen"), clock_wall_ms(), text, sizeof(text));
	out_line(c->out, "seen", text);
	out_line(c->out, "logins",
		 json_array_size(json_object_get(id, "credentials")) > 0
			 ? "by these credentials:"
			 : "no credential: cannot log in");
	show_credentials(c, json_object_get(id, "credentials"));
}

int identity_show(struct cli *c)
{
	json_t *reply;
	int rc = ask_json(c, "/v1/call", name_call(c, "identity.show"), &reply);

	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON))
		out_json(c->out, reply);
	else
		show_person(c, json_object_get(reply, "identity"));
	json_decref(reply);
	return CLI_DONE;
}
