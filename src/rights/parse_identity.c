/* parse_identity: "device|user|service NAME { role A, B; group G; client-id "P"; unix-user N;
 * token-file P; password-file P }". */
#include "rights/parse.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"

static const char *const attributes[] = {"role",       "group",		"client-id", "unix-user",
					 "token-file", "password-file", NULL};
enum { FIRST_SECRET = 4 };

static enum err add_role(struct parser *p, struct identity *id)
{
	struct slice near = parse_peek(p)->s;
	char *name;
	enum err e = parse_name(p, "the name of a role", &name);

	if (e != E_OK)
		return e;
	if (id->nroles == POLICY_ID_ROLES) {
		free(name);
		return parse_fail(p, near, "an identity has at most 64 roles", "");
	}
	for (u32 i = 0; i < id->nroles; i++) {
		if (strcmp(id->roles[i], name) == 0) {
			free(name);
			return parse_fail(p, near, "this role is there twice", "");
		}
	}
	id->roles = array_grow(id->roles, id->nroles, sizeof(*id->roles));
	id->roles[id->nroles++] = name;
	return E_OK;
}

static enum err roles(struct parser *p, struct identity *id)
{
	enum err e;

	do
		e = add_role(p, id);
	while (e == E_OK && parse_accept(p, ","));
	return e;
}

/* A pattern or a path: any word, or a quoted string. */
static enum err text_value(struct parser *p, size_t max, const char *what, char **out)
{
	struct token t = parse_take(p);

	if ((t.kind != TOK_WORD && t.kind != TOK_STRING) || t.s.n == 0 || t.s.n > max ||
	    memchr(t.s.p, '\t', t.s.n) != NULL || memchr(t.s.p, '\r', t.s.n) != NULL)
		return parse_fail(p, t.s, what, "with white space or ; , { } it is quoted");
	*out = token_dup(&t);
	return E_OK;
}

/* Names of users are the machine's to know, which nobody here may ask. */
static enum err user_id(struct parser *p, struct identity *id)
{
	struct token t = parse_take(p);
	u64 uid = 0;

	id->has_uid = t.kind == TOK_WORD && num_parse(t.s, UINT32_MAX - 1, &uid) == E_OK &&
		      uid != POLICY_UID_NOBODY;
	id->uid = (u32)uid;
	if (id->has_uid)
		return E_OK;
	return parse_fail(p, t.s, "the number of a user of this machine is expected",
			  uid == POLICY_UID_NOBODY ? "65534 stands for users that are not known"
						   : "id -u NAME prints it");
}

static enum err attribute_value(struct parser *p, struct identity *id, u32 which)
{
	switch (which) {
	case 0:
		return roles(p, id);
	case 1:
		return parse_name(p, "the name of a group", &id->group);
	case 2:
		return text_value(p, POLICY_CLIENT_ID, "a client id pattern is expected",
				  &id->client_id);
	case 3:
		return user_id(p, id);
	case 4:
		return text_value(p, 4096, "a path is expected", &id->token_file);
	default:
		return text_value(p, 4096, "a path is expected", &id->password_file);
	}
}

static bool said(const struct identity *id, u32 which)
{
	const void *value[] = {id->roles,      id->group,
			       id->client_id,  id->has_uid ? id : NULL,
			       id->token_file, id->password_file};

	return value[which] != NULL;
}

static enum err attribute(struct parser *p, struct identity *id)
{
	struct token t = parse_take(p);
	u32 which = 0;
	enum err e;

	while (attributes[which] != NULL && !token_is(&t, attributes[which]))
		which++;
	if (t.kind == TOK_END)
		return parse_fail(p, t.s, "the text ends inside an identity", "close it with '}'");
	if (attributes[which] == NULL)
		return parse_unknown(p, &t, "not an attribute of an identity", attributes);
	if (said(id, which))
		return parse_fail(p, t.s, "this attribute is there twice",
				  "several roles: role A, B");
	if (which >= FIRST_SECRET && p->kind != POLICY_FIRST)
		return parse_fail(p, t.s, "secrets come only with the bootstrap file",
				  "set one with picket device rotate or picket user password");
	e = attribute_value(p, id, which);
	return e == E_OK ? parse_end(p, "attributes are separated by ';' or a new line") : e;
}

static enum err identity_body(struct parser *p, struct identity *id)
{
	enum err e = parse_name(p, "the name of an identity", &id->name);

	if (e == E_OK)
		e = parse_expect(p, "{", "'{' is expected after the name of an identity");
	while (e == E_OK && !parse_accept(p, "}")) {
		if (!parse_accept(p, ";"))
			e = attribute(p, id);
	}
	return e;
}

enum err parse_identity(struct parser *p)
{
	struct policy_doc *doc = p->doc;
	struct token t = parse_take(p);
	struct identity id = {.kind = ID_DEVICE};
	enum err e;

	while (!token_is(&t, identity_word(id.kind)))
		id.kind++;
	id.at = (size_t)(parse_peek(p)->s.p - p->lex.text.p);
	e = identity_body(p, &id);
	if (e != E_OK) {
		identity_clear(&id);
		return e;
	}
	doc->identities = array_grow(doc->identities, doc->nidentities, sizeof(id));
	doc->identities[doc->nidentities++] = id;
	return E_OK;
}
