/* parse_rule: one rule: its verb, its filter and its conditions. */
#include "rights/parse.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/mem.h"
#include "rights/holder.h"

static const char *const actions[] = {"publish", "subscribe", NULL};

#define HINT_RULE                                                                                  \
	"a filter with white space or ; { } is quoted; conditions follow 'if' and are separated "  \
	"by ','"

/* ---- filters --------------------------------------------------------------------------- */

/* The filter with an x for each placeholder, so that the parser of all filters can judge it. */
static enum err filter_sample(struct parser *p, struct slice near, const char *filter,
			      struct buf *sample)
{
	struct slice text = slice_str(filter);
	struct part part;
	size_t at = 0;

	while (part_next(text, &at, &part)) {
		if (part.kind == PART_N && text.p[at - 1] != '}')
			return parse_fail(p, near, "a ${ is not closed", "");
		if (part.kind == PART_N)
			return parse_unknown_at(p, near, part.s, "not a placeholder", holder_words);
		if (part.kind == PART_LITERAL)
			buf_slice(sample, part.s);
		else
			buf_str(sample, "x");
	}
	return E_OK;
}

/* Why filter_parse refused, as far as it can be told apart. */
static const char *filter_fault(struct slice s)
{
	u32 levels = 1;

	if (s.n == 0)
		return "a filter is never empty";
	for (size_t i = 0; i < s.n; i++) {
		bool wild = s.p[i] == '#' || s.p[i] == '+';
		bool starts = i == 0 || s.p[i - 1] == '/', ends = i + 1 == s.n || s.p[i + 1] == '/';

		levels += s.p[i] == '/';
		if (wild && !(starts && ends))
			return "'+' and '#' stand for whole levels, between '/'";
		if (s.p[i] == '#' && i + 1 != s.n)
			return "'#' is the last level of a filter";
	}
	return levels > LIM_TOPIC_LEVELS ? "this filter has too many levels"
					 : "this is not a topic filter";
}

/* A first level that begins with '$' is written out, so that no value reaches a reserved namespace.
 */
static bool dollar_holder(const char *filter)
{
	const char *slash = strchr(filter, '/'), *holder = strstr(filter, "${");

	return filter[0] == '$' && filter[1] != '{' && holder != NULL &&
	       (slash == NULL || holder < slash);
}

static enum err check_sample(struct parser *p, struct slice near, const struct rule *r,
			     struct slice sample)
{
	struct filter f;

	if (sample.n >= 7 && memcmp(sample.p, "$share/", 7) == 0)
		return parse_fail(p, near, "a rule is about the filter inside $share/NAME/FILTER",
				  "write the filter alone; it holds for shared subscriptions too");
	if (filter_parse(sample, &f) != E_OK)
		return parse_fail(p, near, filter_fault(sample), "");
	if (r->exact && r->action == ACT_PUBLISH && (f.hash || f.plus_mask != 0))
		return parse_fail(
			p, near, "nobody publishes to a wildcard",
			"'exact' here takes a topic without '+' and '#'; or leave 'exact' out");
	return E_OK;
}

static enum err check_filter(struct parser *p, struct slice near, const struct rule *r)
{
	struct buf sample = {0};
	enum err e;

	if (strlen(r->filter) > POLICY_FILTER_TEXT)
		return parse_fail(p, near, "a filter has at most 1024 bytes", "");
	if (dollar_holder(r->filter))
		return parse_fail(p, near, "a first level that begins with '$' has no placeholder",
				  "write the level out");
	e = filter_sample(p, near, r->filter, &sample);
	if (e == E_OK)
		e = check_sample(p, near, r, slice_of(sample.p, sample.n));
	buf_free(&sample);
	return e;
}

static enum err parse_filter(struct parser *p, struct rule *r)
{
	struct token t;

	ASSERT(!p->peeked); /* what follows is not a word */
	t = lex_filter(&p->lex);
	if (t.kind == TOK_WORD && slice_eq(t.s, SLICE_LIT("exact"))) {
		r->exact = true;
		t = lex_filter(&p->lex);
	}
	if (t.kind == TOK_OPEN)
		return parse_fail(p, t.s, "a quote or a ${ is not closed", "");
	if (t.kind == TOK_END)
		return parse_fail(p, t.s, "a topic filter is expected on this line",
				  r->exact ? "to name the topic 'exact', write it in quotes" : "");
	r->filter = token_dup(&t);
	return check_filter(p, t.s, r);
}

/* ---- conditions ------------------------------------------------------------------------ */

static enum err cond_qos(struct parser *p, struct cond *c)
{
	struct token t = parse_take(p);
	struct slice s = t.s;
	bool one = s.n == 1, range = s.n == 4 && s.p[1] == '.' && s.p[2] == '.';
	u8 lo = s.n != 0 ? s.p[0] : 0, hi = range ? s.p[3] : lo;

	if (t.kind != TOK_WORD || !(one || range) || lo < '0' || hi > '2' || lo > hi)
		return parse_fail(p, s, "a QoS is expected", "0, 1, 2 or a range: 0..1");
	c->qos_min = (u8)(lo - '0');
	c->qos_max = (u8)(hi - '0');
	return E_OK;
}

static enum err cond_yes_no(struct parser *p, u8 *out)
{
	static const char *const known[] = {"no", "yes", NULL};
	struct token t = parse_take(p);

	for (u8 i = 0; i < 2; i++) {
		if (token_is(&t, known[i])) {
			*out = i;
			return E_OK;
		}
	}
	return parse_unknown(p, &t, "yes or no is expected", known);
}

enum err parse_network(struct parser *p, u8 addr[16], u8 *prefix)
{
	struct token t = parse_take(p);

	if (t.kind != TOK_WORD || !addr_parse_net(t.s, ADDR_BITS_CUT, addr, prefix))
		return parse_fail(p, t.s, "an address or a network is expected",
				  "as 192.168.1.0/24 or 2001:db8::/32");
	if (!addr_parse_net(t.s, ADDR_BITS_EXACT, addr, prefix))
		return parse_fail(p, t.s, "the address has bits behind its prefix",
				  "as 192.168.1.0/24, not 192.168.1.7/24");
	return E_OK;
}

static enum err condition(struct parser *p, struct cond *c)
{
	static const char *const known[] = {"qos", "retain", "tls", "listener", "source", NULL};
	struct token t = parse_take(p);
	u32 bit = 1;

	for (u32 i = 0; known[i] != NULL && !token_is(&t, known[i]); i++)
		bit <<= 1;
	if (bit > COND_SOURCE)
		return parse_unknown(p, &t, "not a condition", known);
	if (c->has & bit)
		return parse_fail(p, t.s, "this condition is there twice", "write two rules");
	c->has |= (u8)bit;
	switch ((enum cond_bit)bit) {
	case COND_QOS:
		return cond_qos(p, c);
	case COND_RETAIN:
		return cond_yes_no(p, &c->retain);
	case COND_TLS:
		return cond_yes_no(p, &c->tls);
	case COND_LISTENER:
		return parse_name(p, "the name of a listener", &c->listener);
	case COND_SOURCE:
		return parse_network(p, c->addr, &c->prefix);
	}
	UNREACHABLE("a bit for each known word");
}

static enum err role_net(struct parser *p, struct role *role)
{
	struct slice near = parse_peek(p)->s;
	struct role_net n = {.deny = parse_accept(p, "not")};
	enum err e;

	if (role->nnets == POLICY_ROLE_NETS)
		return parse_fail(p, near, "a role has at most 64 networks", "");
	e = parse_network(p, n.addr, &n.prefix);
	if (e != E_OK)
		return e;
	role->nets = array_grow(role->nets, role->nnets, sizeof(n));
	role->nets[role->nnets++] = n;
	return E_OK;
}

enum err parse_role_nets(struct parser *p, struct role *role)
{
	enum err e;

	do
		e = role_net(p, role);
	while (e == E_OK && parse_accept(p, ","));
	return e == E_OK ? parse_end(p, "networks are separated by ','") : e;
}

enum err parse_conditions(struct parser *p, struct cond *out)
{
	enum err e;

	do
		e = condition(p, out);
	while (e == E_OK && parse_accept(p, ","));
	return e;
}

/* ---- rules ----------------------------------------------------------------------------- */

/* "deny" inside a role, "deny *" outside. */
static enum err parse_reach(struct parser *p, enum reach reach)
{
	const struct token *t = parse_peek(p);
	bool star = parse_accept(p, "*");

	if (star && reach == REACH_ROLE)
		return parse_fail(p, t->s, "inside a role, deny is about the role alone",
				  "leave '*' out, or move the deny out of the role");
	if (!star && reach == REACH_EVERYONE)
		return parse_fail(p, t->s, "'*' is expected after deny",
				  "outside a role a deny is for everyone: deny * publish FILTER");
	return E_OK;
}

static enum err parse_action(struct parser *p, enum action *out)
{
	struct token t = parse_take(p);

	if (!token_is(&t, "publish") && !token_is(&t, "subscribe"))
		return parse_unknown(p, &t, "publish or subscribe is expected", actions);
	*out = token_is(&t, "publish") ? ACT_PUBLISH : ACT_SUBSCRIBE;
	return E_OK;
}

static enum err rule_body(struct parser *p, struct rule *r)
{
	enum err e;

	if (!parse_accept(p, "allow") && parse_accept(p, "deny")) {
		r->deny = true;
		e = parse_reach(p, r->reach);
		if (e != E_OK)
			return e;
	}
	e = parse_action(p, &r->action);
	if (e == E_OK)
		e = parse_filter(p, r);
	if (e == E_OK && !parse_peek(p)->fresh && parse_accept(p, "if"))
		e = parse_conditions(p, &r->cond);
	return e == E_OK ? parse_end(p, HINT_RULE) : e;
}

enum err parse_rule(struct parser *p, enum reach reach, struct rule_list *list)
{
	struct rule r = {.reach = reach};
	enum err e = rule_body(p, &r);

	if (e != E_OK) {
		rule_clear(&r);
		return e;
	}
	rule_text(&r);
	list->v = array_grow(list->v, list->n, sizeof(r));
	list->v[list->n++] = r;
	return E_OK;
}
