/* print: a document as canonical text. */
#include "rights/doc.h"

#include "base/addr.h"

static bool quote_needed(const char *s)
{
	bool in_holder = false;

	if (*s == '\0' || strcmp(s, "exact") == 0)
		return true;
	for (; *s != '\0'; s++) {
		if (s[0] == '$' && s[1] == '{') {
			in_holder = true;
			s++;
		} else if (*s == '}' && in_holder) {
			in_holder = false;
		} else if (strchr(" \t;{}\"", *s) != NULL) {
			return true;
		}
	}
	return false;
}

static void print_string(struct buf *b, const char *s)
{
	buf_str(b, "\"");
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			buf_str(b, "\\");
		buf_add(b, s, 1);
	}
	buf_str(b, "\"");
}

static void print_filter(struct buf *b, const char *s)
{
	if (quote_needed(s))
		print_string(b, s);
	else
		buf_str(b, s);
}

void print_word(struct buf *b, const char *s)
{
	if (*s == '\0' || *s == '#' || strpbrk(s, " \t;,{}\"\\") != NULL)
		print_string(b, s);
	else
		buf_str(b, s);
}

/* ---- rules ----------------------------------------------------------------------------- */

static void print_network(struct buf *b, const u8 addr[16], u8 prefix)
{
	char text[64];

	addr_format_net(addr, prefix, text, sizeof(text));
	buf_str(b, text);
}

static void print_qos(struct buf *b, const struct cond *c)
{
	buf_str(b, "qos ");
	buf_num(b, c->qos_min);
	if (c->qos_max != c->qos_min) {
		buf_str(b, "..");
		buf_num(b, c->qos_max);
	}
}

static void print_condition(struct buf *b, const struct cond *c, u32 bit)
{
	switch ((enum cond_bit)bit) {
	case COND_QOS:
		print_qos(b, c);
		break;
	case COND_RETAIN:
		buf_str(b, c->retain ? "retain yes" : "retain no");
		break;
	case COND_TLS:
		buf_str(b, c->tls ? "tls yes" : "tls no");
		break;
	case COND_LISTENER:
		buf_str(b, "listener ");
		buf_str(b, c->listener);
		break;
	case COND_SOURCE:
		buf_str(b, "source ");
		print_network(b, c->addr, c->prefix);
		break;
	}
}

static void print_conditions(struct buf *b, const struct cond *c)
{
	const char *before = " if ";

	for (u32 bit = COND_QOS; bit <= COND_SOURCE; bit <<= 1) {
		if ((c->has & bit) == 0)
			continue;
		buf_str(b, before);
		print_condition(b, c, bit);
		before = ", ";
	}
}

void rule_text(struct rule *r)
{
	struct buf b = {0};

	ASSERT(r->text == NULL);
	if (r->deny)
		buf_str(&b, r->reach == REACH_EVERYONE ? "deny * " : "deny ");
	buf_str(&b, r->action == ACT_PUBLISH ? "publish " : "subscribe ");
	if (r->exact)
		buf_str(&b, "exact ");
	print_filter(&b, r->filter);
	print_conditions(&b, &r->cond);
	r->text = buf_take(&b);
}

/* ---- limits ---------------------------------------------------------------------------- */

static void print_count(struct buf *b, u32 v)
{
	if (v == UINT32_MAX)
		buf_str(b, "none");
	else
		buf_num(b, v);
}

static void print_size(struct buf *b, u32 v)
{
	static const char *const unit[] = {"", "k", "m", "g"};
	u32 i = 0;

	if (v == UINT32_MAX) {
		buf_str(b, "none");
		return;
	}
	while (i < 3 && v % 1024 == 0 && v != 0) {
		v /= 1024;
		i++;
	}
	buf_num(b, v);
	buf_str(b, unit[i]);
}

static void print_rate(struct buf *b, const struct role_limits *l)
{
	buf_str(b, "publish ");
	print_count(b, l->publish_rate);
	if (l->publish_rate == UINT32_MAX)
		return;
	buf_str(b, "/s");
	if (l->publish_burst != 0) {
		buf_str(b, " burst ");
		print_count(b, l->publish_burst);
	}
}

static void print_queue(struct buf *b, const struct role_limits *l)
{
	buf_str(b, "queue ");
	print_count(b, l->queue_messages);
	if (l->queue_messages == UINT32_MAX && l->queue_bytes == UINT32_MAX)
		return;
	if (l->queue_bytes != 0) {
		buf_str(b, "/");
		print_size(b, l->queue_bytes);
	}
}

static bool print_one(struct buf *b, const char *word, u32 v, void (*print)(struct buf *, u32))
{
	if (v == 0)
		return false;
	buf_str(b, word);
	print(b, v);
	return true;
}

bool print_limit(struct buf *b, const struct role_limits *l, u32 i)
{
	if (l->all_none) {
		if (i == 0)
			buf_str(b, "all none");
		return i == 0;
	}
	switch (i) {
	case 0:
		if (l->publish_rate != 0)
			print_rate(b, l);
		return l->publish_rate != 0;
	case 1:
		return print_one(b, "packet ", l->packet_bytes, print_size);
	case 2:
		return print_one(b, "inflight ", l->inflight, print_count);
	case 3:
		if (l->queue_messages != 0)
			print_queue(b, l);
		return l->queue_messages != 0;
	case 4:
		return print_one(b, "retained ", l->retained, print_count);
	case 5:
		return print_one(b, "subscriptions ", l->subscriptions, print_count);
	default:
		return false;
	}
}

static void print_limits(struct buf *b, const struct role_limits *l)
{
	const char *before = "  limit ";

	for (u32 i = 0; i < LIMIT_ITEMS; i++) {
		struct buf item = {0};

		if (print_limit(&item, l, i)) {
			buf_str(b, before);
			buf_slice(b, slice_of(item.p, item.n));
			before = ", ";
		}
		buf_free(&item);
	}
	if (before[0] == ',')
		buf_str(b, "\n");
}

/* ---- statements ------------------------------------------------------------------------ */

void print_role_net(struct buf *b, const struct role_net *n)
{
	buf_str(b, n->deny ? "not " : "");
	print_network(b, n->addr, n->prefix);
}

static void print_role_nets(struct buf *b, const struct role *r)
{
	const char *before = "  source ";

	for (u32 i = 0; i < r->nnets; i++) {
		buf_str(b, before);
		print_role_net(b, &r->nets[i]);
		before = ", ";
	}
	if (r->nnets != 0)
		buf_str(b, "\n");
}

void print_role(struct buf *b, const struct role *r)
{
	buf_str(b, "role ");
	buf_str(b, r->name);
	buf_str(b, " {\n");
	print_role_nets(b, r);
	for (u32 i = 0; i < r->rules.n; i++) {
		buf_str(b, "  ");
		buf_str(b, r->rules.v[i].text);
		buf_str(b, "\n");
	}
	print_limits(b, &r->limits);
	buf_str(b, "}\n");
}

static void print_denies(struct buf *b, const struct policy_doc *doc)
{
	for (u32 i = 0; i < doc->denies.n; i++) {
		buf_str(b, doc->denies.v[i].text);
		buf_str(b, "\n");
	}
}

static void print_attribute(struct buf *b, const char *word, const char *value)
{
	if (value == NULL)
		return;
	buf_str(b, "  ");
	buf_str(b, word);
	buf_str(b, " ");
	print_word(b, value);
	buf_str(b, "\n");
}

static void print_identity(struct buf *b, const struct identity *id)
{
	const char *before = "  role ";

	buf_str(b, identity_word(id->kind));
	buf_str(b, " ");
	buf_str(b, id->name);
	buf_str(b, " {\n");
	for (u32 i = 0; i < id->nroles; i++) {
		buf_str(b, before);
		buf_str(b, id->roles[i]);
		before = ", ";
	}
	if (id->nroles != 0)
		buf_str(b, "\n");
	print_attribute(b, "group", id->group);
	print_attribute(b, "client-id", id->client_id);
	if (id->has_uid) {
		buf_str(b, "  unix-user ");
		buf_num(b, id->uid);
		buf_str(b, "\n");
	}
	print_attribute(b, "token-file", id->token_file);
	print_attribute(b, "password-file", id->password_file);
	buf_str(b, "}\n");
}

enum err policy_print(const struct policy_doc *doc, char **text)
{
	struct buf b = {0};

	OBJ_CHECK(doc, POLICY_DOC_MAGIC);
	for (u32 i = 0; i < doc->nroles; i++)
		print_role(&b, &doc->roles[i]);
	print_denies(&b, doc);
	for (u32 i = 0; i < doc->nidentities; i++)
		print_identity(&b, &doc->identities[i]);
	*text = buf_take(&b);
	return E_OK;
}

char *policy_role_text(const struct policy_doc *doc, u32 i)
{
	struct buf b = {0};

	ASSERT(i < doc->nroles);
	print_role(&b, &doc->roles[i]);
	return buf_take(&b);
}

char *policy_denies_text(const struct policy_doc *doc)
{
	struct buf b = {0};

	print_denies(&b, doc);
	return buf_take(&b);
}
