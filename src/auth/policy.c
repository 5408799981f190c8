/* policy: the rights in the store as text, document and compiled block.  See policy.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/policy.h"
#include "base/log.h"
#include "base/mem.h"

/* ---- text ----------------------------------------------------------------------------- */
static void text_room(struct text *t, size_t more)
{
	size_t want = t->n + more + 1;

	if (want <= t->cap)
		return;
	t->cap = MAX(want, t->cap * 2);
	t->p = xrealloc(t->p, t->cap);
}

void text_add(struct text *t, const char *s)
{
	size_t n = strlen(s);

	text_room(t, n);
	memcpy(t->p + t->n, s, n + 1);
	t->n += n;
}

void text_addf(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	ASSERT(n >= 0);
	text_room(t, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(t->p + t->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->n += (size_t)n;
}

static enum err roles_text(struct db *d, struct text *t)
{
	struct role_row r = {0};
	enum err e;

	while ((e = role_after(d, r.name, &r)) == E_OK) {
		text_add(t, r.text);
		text_add(t, "\n");
		role_row_clear(&r);
	}
	return e == E_NOT_FOUND ? E_OK : e;
}

static enum err denies_text(struct db *d, struct text *t)
{
	char *denies = NULL;
	enum err e = db_meta_text(d, "denies", &denies);

	if (e == E_OK)
		text_add(t, denies);
	text_add(t, "\n");
	free(denies);
	return e == E_NOT_FOUND ? E_OK : e;
}

enum err policy_text(struct db *d, char **out)
{
	struct text t = {0};
	enum err e = roles_text(d, &t);

	if (e == E_OK)
		e = denies_text(d, &t);
	if (e != E_OK) {
		free(t.p);
		t.p = NULL;
	}
	*out = t.p;
	return e;
}

enum err policy_identity_text(struct db *d, const struct identity *i, struct text *t)
{
	char role[LIM_NAME + 1];

	text_addf(t, "%s %s {", kind_word(i->kind), i->name);
	for (u32 n = 0; n < i->nroles; n++) {
		enum err e = role_name_of(d, i->role[n], role);
		if (e != E_OK)
			return e;
		text_addf(t, "%s%s", n == 0 ? " role " : ", ", role);
	}
	text_add(t, i->nroles == 0 ? "" : ";");
	if (i->group[0] != '\0')
		text_addf(t, " group %s;", i->group);
	if (i->client_id[0] != '\0')
		text_addf(t, " client-id \"%s\";", i->client_id);
	if (i->uid_serial != 0)
		text_addf(t, " unix-user %u;", i->uid);
	text_add(t, " }\n");
	return E_OK;
}

static enum err canonical(const char *text, char **out)
{
	struct policy_error pe;
	struct policy_doc *doc = NULL;
	enum err e = policy_parse(slice_str(text), POLICY_RULES, &doc, &pe);

	if (e == E_OK)
		e = policy_print(doc, out);
	else
		log_msg(LOG_ERROR, "store_policy", "line %u: %s", pe.line, pe.what);
	policy_doc_free(&doc);
	return e;
}

enum err policy_export(struct db *d, char **out)
{
	struct text t = {0};
	struct identity i = {0};
	enum err e = roles_text(d, &t);

	if (e == E_OK)
		e = denies_text(d, &t);
	while (e == E_OK && (e = identity_after(d, i.name, &i)) == E_OK)
		e = policy_identity_text(d, &i, &t);
	if (e == E_OK || e == E_NOT_FOUND)
		e = canonical(t.p, out);
	free(t.p);
	return e;
}

/* ---- the compiled block --------------------------------------------------------------- */
static enum err role_ids(struct db *d, const struct policy_doc *doc, u32 **out)
{
	u32 n = policy_role_count(doc);
	u32 *ids = xcalloc(MAX(n, 1u), sizeof(*ids));
	enum err e = E_OK;

	for (u32 i = 0; e == E_OK && i < n; i++) {
		e = role_id(d, policy_role_name(doc, i), &ids[i]);
	}
	*out = ids;
	return e;
}

enum err policy_build(struct auth *a, u64 generation, u8 **block, size_t *len)
{
	struct policy_doc *doc = NULL;
	struct policy_error pe;
	char *text = NULL;
	u32 *ids = NULL;
	enum err e = policy_text(a->db, &text);

	if (e == E_OK && (e = policy_parse(slice_str(text), POLICY_RULES, &doc, &pe)) != E_OK)
		log_msg(LOG_ERROR, "store_policy", "line %u: %s", pe.line, pe.what);
	if (e == E_OK)
		e = role_ids(a->db, doc, &ids);
	if (e == E_OK)
		e = policy_compile(doc, ids, generation, block, len);
	free(ids);
	free(text);
	policy_doc_free(&doc);
	return e;
}

enum err policy_install(struct auth *a, u8 *block, size_t len, u64 generation)
{
	const struct policy *p = NULL;
	enum err e = policy_open(slice_of(block, len), &p);

	if (e != E_OK) {
		free(block);
		return e;
	}
	ASSERT(policy_generation(p) == generation);
	free(a->block);
	a->block = block;
	a->block_len = len;
	a->policy = p;
	a->policy_generation = generation;
	return E_OK;
}

enum err policy_load(struct auth *a)
{
	u64 generation = 0, policy_gen = 0;
	u8 *block = NULL;
	size_t len = 0;
	enum err e = db_meta_num(a->db, "generation", &generation);

	if (e == E_OK)
		e = db_meta_num(a->db, "policy_generation", &policy_gen);
	if (e != E_OK && e != E_NOT_FOUND)
		return e;
	/* 0 is "nothing yet" for broker, so an empty store begins with 1. */
	a->generation = MAX(generation, (u64)1);
	policy_gen = MAX(policy_gen, (u64)1);
	e = policy_build(a, policy_gen, &block, &len);
	return e == E_OK ? policy_install(a, block, len, policy_gen) : e;
}
