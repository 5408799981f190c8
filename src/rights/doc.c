/* doc: owns what a policy text says; its order and its end.  Knows neither text nor block. */
#include "rights/doc.h"

#include <stdlib.h>

#include "base/mem.h"

struct policy_doc *policy_doc_new(void)
{
	struct policy_doc *doc = xcalloc(1, sizeof(*doc));

	doc->magic = POLICY_DOC_MAGIC;
	return doc;
}

void rule_clear(struct rule *r)
{
	free(r->filter);
	free(r->cond.listener);
	free(r->text);
	*r = (struct rule){0};
}

static void rules_clear(struct rule_list *l)
{
	for (u32 i = 0; i < l->n; i++)
		rule_clear(&l->v[i]);
	free(l->v);
	*l = (struct rule_list){0};
}

void role_clear(struct role *r)
{
	free(r->name);
	rules_clear(&r->rules);
	free(r->nets);
	*r = (struct role){0};
}

void identity_clear(struct identity *id)
{
	for (u32 i = 0; i < id->nroles; i++)
		free(id->roles[i]);
	free(id->roles);
	free(id->name);
	free(id->group);
	free(id->client_id);
	free(id->token_file);
	free(id->password_file);
	*id = (struct identity){0};
}

void policy_doc_free(struct policy_doc **docp)
{
	struct policy_doc *doc = *docp;

	*docp = NULL;
	if (doc == NULL)
		return;
	OBJ_CHECK(doc, POLICY_DOC_MAGIC);
	for (u32 i = 0; i < doc->nroles; i++)
		role_clear(&doc->roles[i]);
	for (u32 i = 0; i < doc->nidentities; i++)
		identity_clear(&doc->identities[i]);
	rules_clear(&doc->denies);
	free(doc->roles);
	free(doc->identities);
	doc->magic = 0;
	free(doc);
}

/* ---- order ----------------------------------------------------------------------------- */

static int rule_cmp(const void *pa, const void *pb)
{
	const struct rule *a = pa, *b = pb;

	if (a->deny != b->deny)
		return a->deny ? 1 : -1;
	if (a->action != b->action)
		return a->action > b->action ? 1 : -1;
	return strcmp(a->text, b->text);
}

static int role_cmp(const void *pa, const void *pb)
{
	const struct role *a = pa, *b = pb;
	int c = strcmp(a->name, b->name);

	return c ? c : (a->at > b->at) - (a->at < b->at);
}

static int identity_cmp(const void *pa, const void *pb)
{
	const struct identity *a = pa, *b = pb;
	int c = strcmp(a->name, b->name);

	if (a->kind != b->kind)
		return a->kind > b->kind ? 1 : -1;
	return c ? c : (a->at > b->at) - (a->at < b->at);
}

static int net_cmp(const void *pa, const void *pb)
{
	const struct role_net *a = pa, *b = pb;
	int c = memcmp(a->addr, b->addr, sizeof(a->addr));

	if (a->deny != b->deny)
		return a->deny ? 1 : -1;
	return c ? c : a->prefix - b->prefix;
}

static int name_cmp(const void *pa, const void *pb)
{
	return strcmp(*(char *const *)pa, *(char *const *)pb);
}

static void sort(void *v, u32 n, size_t size, int (*cmp)(const void *, const void *))
{
	if (n > 1)
		qsort(v, n, size, cmp);
}

static void rules_sort(struct rule_list *l)
{
	u32 kept = 0;

	sort(l->v, l->n, sizeof(*l->v), rule_cmp);
	for (u32 i = 0; i < l->n; i++) {
		if (kept != 0 && rule_cmp(&l->v[kept - 1], &l->v[i]) == 0)
			rule_clear(&l->v[i]);
		else
			l->v[kept++] = l->v[i];
	}
	l->n = kept;
}

static void nets_sort(struct role *r)
{
	u32 kept = 0;

	sort(r->nets, r->nnets, sizeof(*r->nets), net_cmp);
	for (u32 i = 0; i < r->nnets; i++) {
		if (kept == 0 || net_cmp(&r->nets[kept - 1], &r->nets[i]) != 0)
			r->nets[kept++] = r->nets[i];
	}
	r->nnets = kept;
}

void policy_doc_sort(struct policy_doc *doc)
{
	rules_sort(&doc->denies);
	sort(doc->roles, doc->nroles, sizeof(*doc->roles), role_cmp);
	for (u32 i = 0; i < doc->nroles; i++) {
		rules_sort(&doc->roles[i].rules);
		nets_sort(&doc->roles[i]);
	}
	sort(doc->identities, doc->nidentities, sizeof(*doc->identities), identity_cmp);
	for (u32 i = 0; i < doc->nidentities; i++)
		sort(doc->identities[i].roles, doc->identities[i].nroles, sizeof(char *), name_cmp);
}

/* ---- walks ----------------------------------------------------------------------------- */

const struct role *policy_doc_role(const struct policy_doc *doc, const char *name)
{
	u32 lo = 0, hi = doc->nroles;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;
		int c = strcmp(doc->roles[mid].name, name);

		if (c == 0)
			return &doc->roles[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const char *identity_word(enum identity_kind kind)
{
	static const char *const words[] = {"device", "user", "service"};

	ASSERT(kind <= ID_SERVICE);
	return words[kind];
}

u32 policy_role_count(const struct policy_doc *doc)
{
	return doc->nroles;
}

const char *policy_role_name(const struct policy_doc *doc, u32 i)
{
	ASSERT(i < doc->nroles);
	return doc->roles[i].name;
}

u32 policy_identity_count(const struct policy_doc *doc)
{
	return doc->nidentities;
}

void policy_identity_at(const struct policy_doc *doc, u32 i, struct policy_identity_view *out)
{
	const struct identity *id;

	ASSERT(i < doc->nidentities);
	id = &doc->identities[i];
	*out = (struct policy_identity_view){
		.kind = identity_word(id->kind),
		.name = id->name,
		.group = id->group,
		.client_id = id->client_id,
		.token_file = id->token_file,
		.password_file = id->password_file,
		.roles = (const char *const *)id->roles,
		.nroles = id->nroles,
		.has_uid = id->has_uid,
		.uid = id->uid,
	};
}

static bool name_byte(u8 c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-' || c == ':' || c == '@';
}

bool policy_name_ok(struct slice name)
{
	if (name.n == 0 || name.n > 128)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (!name_byte(name.p[i]))
			return false;
	}
	return true;
}
