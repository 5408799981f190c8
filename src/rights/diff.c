/* diff: what changes between two documents, for a person to read before it happens. */
#include "rights/doc.h"

#include <stdlib.h>

#include "base/mem.h"

/* One line of a document under what it belongs to.  A line "" says that the owner exists at all. */
struct item {
	char *owner; /* sorts by its first letter, which is not shown */
	char *line;
};
struct items {
	struct item *v;
	u32 n;
};

static void add(struct items *l, char sort, const char *word, const char *name, const char *line)
{
	struct buf owner = {0};

	buf_add(&owner, &sort, 1);
	buf_str(&owner, word);
	buf_str(&owner, name);
	l->v = array_grow(l->v, l->n, sizeof(*l->v));
	l->v[l->n++] = (struct item){buf_take(&owner), xstrdup(line)};
}

static void add_net(struct items *l, const struct role *r, const struct role_net *n)
{
	struct buf b = {0};
	char *line;

	buf_str(&b, "source ");
	print_role_net(&b, n);
	line = buf_take(&b);
	add(l, 'a', "role ", r->name, line);
	free(line);
}

static void add_role(struct items *l, const struct role *r)
{
	add(l, 'a', "role ", r->name, "");
	for (u32 i = 0; i < r->nnets; i++)
		add_net(l, r, &r->nets[i]);
	for (u32 i = 0; i < r->rules.n; i++)
		add(l, 'a', "role ", r->name, r->rules.v[i].text);
	for (u32 i = 0; i < LIMIT_ITEMS; i++) {
		struct buf b = {0};
		char *line;

		buf_str(&b, "limit ");
		if (print_limit(&b, &r->limits, i)) {
			line = buf_take(&b);
			add(l, 'a', "role ", r->name, line);
			free(line);
		}
		buf_free(&b);
	}
}

static void add_of(struct items *l, const struct identity *id, const char *line)
{
	static const char *const words[] = {"device ", "user ", "service "};

	add(l, (char)('c' + (int)id->kind), words[id->kind], id->name, line);
}

static void add_attribute(struct items *l, const struct identity *id, const char *word,
			  const char *value)
{
	struct buf b = {0};
	char *line;

	if (value == NULL)
		return;
	buf_str(&b, word);
	print_word(&b, value);
	line = buf_take(&b);
	add_of(l, id, line);
	free(line);
}

static void add_uid(struct items *l, const struct identity *id)
{
	struct buf b = {0};
	char *line;

	buf_str(&b, "unix-user ");
	buf_num(&b, id->uid);
	line = buf_take(&b);
	add_of(l, id, line);
	free(line);
}

static void add_identity(struct items *l, const struct identity *id)
{
	add_of(l, id, "");
	for (u32 i = 0; i < id->nroles; i++)
		add_attribute(l, id, "role ", id->roles[i]);
	add_attribute(l, id, "group ", id->group);
	add_attribute(l, id, "client-id ", id->client_id);
	if (id->has_uid)
		add_uid(l, id);
	add_attribute(l, id, "token-file ", id->token_file);
	add_attribute(l, id, "password-file ", id->password_file);
}

static int item_cmp(const void *pa, const void *pb)
{
	const struct item *a = pa, *b = pb;
	int c = strcmp(a->owner, b->owner);

	return c ? c : strcmp(a->line, b->line);
}

static struct items items_of(const struct policy_doc *doc)
{
	struct items l = {0};

	for (u32 i = 0; i < doc->nroles; i++)
		add_role(&l, &doc->roles[i]);
	for (u32 i = 0; i < doc->denies.n; i++)
		add(&l, 'b', "everyone", "", doc->denies.v[i].text);
	for (u32 i = 0; i < doc->nidentities; i++)
		add_identity(&l, &doc->identities[i]);
	if (l.n > 1)
		qsort(l.v, l.n, sizeof(*l.v), item_cmp);
	return l;
}

static void items_free(struct items *l)
{
	for (u32 i = 0; i < l->n; i++) {
		free(l->v[i].owner);
		free(l->v[i].line);
	}
	free(l->v);
}

/* The owner's name goes out once, before its first changed line: with the sign when it comes or
 * goes. */
static void print_item(struct buf *b, const struct item *it, const char *sign, const char **owner)
{
	bool whole = it->line[0] == '\0';

	if (*owner == NULL || strcmp(*owner, it->owner) != 0) {
		buf_str(b, whole ? sign : "  ");
		buf_str(b, it->owner + 1);
		buf_str(b, "\n");
		*owner = it->owner;
	}
	if (whole)
		return;
	buf_str(b, sign);
	buf_str(b, "  ");
	buf_str(b, it->line);
	buf_str(b, "\n");
}

enum err policy_diff(const struct policy_doc *from, const struct policy_doc *to, char **text)
{
	struct items a = items_of(from), b = items_of(to);
	const char *owner = NULL;
	struct buf out = {0};
	u32 i = 0, k = 0;

	while (i < a.n || k < b.n) {
		int c = i == a.n ? 1 : k == b.n ? -1 : item_cmp(&a.v[i], &b.v[k]);

		if (c < 0)
			print_item(&out, &a.v[i], "- ", &owner);
		else if (c > 0)
			print_item(&out, &b.v[k], "+ ", &owner);
		i += c <= 0;
		k += c >= 0;
	}
	*text = buf_take(&out);
	items_free(&a);
	items_free(&b);
	return E_OK;
}
