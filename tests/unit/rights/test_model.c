/* Random policies, subjects and circumstances against an oracle that knows only sets of topics.
 *
 * The oracle substitutes values as text, matches as text, and decides by unions of sets; it shares
 * nothing with src/rights but the words of the language.  The universe: all topics of up to four
 * levels over six names, one of which (c) no rule has.  MODEL_SEED=N repeats one policy that
 * failed. */
#include "help.h"

enum { POLICIES = 1500, SUBJECTS = 3, STEPS = 24 }; /* 108,000 steps */
enum { ROLES = 3, EVERYONE = ROLES, RULES = 12, NAMES = 6, TOPICS = 6 + 36 + 216 + 1296 };
enum { WORDS = (TOPICS + 63) / 64 };

static const char *const names[NAMES] = {"a", "", "$s", "d1", "x-d1", "c"};
static const char *const levels[] = {"a", "",	       "$s",	      "d1",	  "+",
				     "+", "${device}", "x-${device}", "${group}", "${claim.k}"};
enum { PATTERNS = 6 }; /* so many of them without a placeholder */
static const char *const values[] = {"d1", "d1", "a", "c", "+", "#", "a/c", "", "$s", "d\n1"};

/* x-${device} must be a name of the universe, or no name at all. */
static const char *const devices[] = {"d1", "d1", "d1", "+", "#", "a/c", "", "d\n1"};

struct bits {
	u64 w[WORDS];
};

static char topics[TOPICS][32];
static struct topic parsed[TOPICS];

struct cond {
	bool qos, retain, tls, listener, source;
	u8 qos_min, qos_max, listener_no, source_no;
	bool retain_is, tls_is;
};

struct rule {
	u32 owner; /* a role, or EVERYONE */
	bool deny, exact;
	enum action action;
	char filter[96];
	struct cond cond;
};

struct model {
	u64 seed;
	struct rule rules[RULES];
	u32 nrules;
	const char *device, *group, *claim;
	bool has[ROLES];
	u32 place[ROLES];	/* where each role holds: a number of places[] */
	struct bits set[RULES]; /* for this subject */
	char told[RULES][96];	/* the filter for this subject; "" never matches */
};

/* ---- chance ---------------------------------------------------------------------------- */

static u32 upto(struct model *m, u32 n)
{
	m->seed += 0x9e3779b97f4a7c15u; /* splitmix64 */
	u64 z = m->seed;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (u32)((z ^ z >> 31) % n);
}

static bool one_in(struct model *m, u32 n)
{
	return upto(m, n) == 0;
}

/* ---- policies -------------------------------------------------------------------------- */

static void random_filter(struct model *m, u32 kinds, char *out, size_t cap)
{
	do {
		u32 n = 1 + upto(m, 3), hash = one_in(m, 3);

		out[0] = '\0';
		for (u32 i = 0; i < n; i++) {
			strncat(out, i != 0 ? "/" : "", cap - strlen(out) - 1);
			if (hash && i + 1 == n)
				strncat(out, "#", cap - strlen(out) - 1);
			else
				strncat(out, levels[upto(m, kinds)], cap - strlen(out) - 1);
		}
	} while (out[0] == '\0');
}

static void random_cond(struct model *m, struct cond *c)
{
	*c = (struct cond){0};
	if (!one_in(m, 3))
		return;
	c->qos = one_in(m, 3);
	c->qos_min = (u8)upto(m, 3);
	c->qos_max = (u8)(c->qos_min + upto(m, 3u - c->qos_min));
	c->retain = one_in(m, 3);
	c->retain_is = one_in(m, 2);
	c->tls = one_in(m, 4);
	c->tls_is = one_in(m, 2);
	c->listener = one_in(m, 4);
	c->listener_no = (u8)upto(m, 2);
	c->source = one_in(m, 4);
	c->source_no = (u8)upto(m, 2);
}

static void random_rule(struct model *m, struct rule *r)
{
	r->owner = upto(m, ROLES + 1);
	r->deny = r->owner == EVERYONE || one_in(m, 4);
	r->action = one_in(m, 3) ? ACT_PUBLISH : ACT_SUBSCRIBE;
	r->exact = r->action == ACT_SUBSCRIBE && one_in(m, 6);
	random_filter(m, ARRAY_LEN(levels), r->filter, sizeof(r->filter));
	if (r->owner == EVERYONE && one_in(m, 2))
		random_filter(m, PATTERNS, r->filter, sizeof(r->filter));
	random_cond(m, &r->cond);
}

static const char *const listeners[] = {"l0", "l1"};
static const char *const sources[] = {"10.0.0.0/9", "2001:db8::/33"};

static const char *const places[] = {"", "source 10.0.0.0/9\n", "source 2001:db8::/33\n",
				     "source not 10.0.0.0/9\n",
				     "source 2001:db8::/32, not 2001:db8::/33\n"};

static char *cond_text(char *out, const struct cond *c)
{
	const char *before = "if";

#define SAY(...)                                                                                   \
	(out += sprintf(out, " %s ", before), out += sprintf(out, __VA_ARGS__), before = ",")
	if (c->source)
		SAY("source %s", sources[c->source_no]);
	if (c->listener)
		SAY("listener %s", listeners[c->listener_no]);
	if (c->tls)
		SAY("tls %s", c->tls_is ? "yes" : "no");
	if (c->retain)
		SAY("retain %s", c->retain_is ? "yes" : "no");
	if (c->qos)
		SAY("qos %u..%u", c->qos_min, c->qos_max);
#undef SAY
	return out;
}

static char *rule_text(char *out, const struct rule *r)
{
	out += sprintf(out, "%s%s%s \"%s\"",
		       r->deny ? r->owner == EVERYONE ? "deny * " : "deny " : "",
		       r->action == ACT_PUBLISH ? "publish" : "subscribe", r->exact ? " exact" : "",
		       r->filter);
	out = cond_text(out, &r->cond);
	return out + sprintf(out, "\n");
}

static struct rig rig_of_model(const struct model *m)
{
	static char text[RULES * 400];
	char *out = text;

	for (u32 role = 0; role < ROLES; role++) {
		out += sprintf(out, "role r%u {\n%s", role, places[m->place[role]]);
		for (u32 i = 0; i < m->nrules; i++) {
			if (m->rules[i].owner == role)
				out = rule_text(out, &m->rules[i]);
		}
		out += sprintf(out, "}\n");
	}
	for (u32 i = 0; i < m->nrules; i++) {
		if (m->rules[i].owner == EVERYONE)
			out = rule_text(out, &m->rules[i]);
	}
	return rig_of(text);
}

/* ---- the oracle: filters as text ---------------------------------------------------------- */

static bool brute_matches(const char *f, const char *t)
{
	if (t[0] == '$' && f[0] != '$')
		return false;
	for (;;) {
		size_t nf = strcspn(f, "/"), nt = strcspn(t, "/");

		if (strcmp(f, "#") == 0)
			return true;
		if (!(nf == 1 && *f == '+') && (nf != nt || strncmp(f, t, nf) != 0))
			return false;
		f += nf;
		t += nt;
		if (*t == '\0')
			return *f == '\0' || strcmp(f, "/#") == 0;
		if (*f == '\0')
			return false;
		f++;
		t++;
	}
}

static struct bits set_of(const char *filter)
{
	struct bits b = {0};

	for (u32 k = 0; k < TOPICS && filter[0] != '\0'; k++)
		b.w[k / 64] |= (u64)brute_matches(filter, topics[k]) << k % 64;
	return b;
}

/* One level with the value in place of its placeholder; NULL when the value may not stand there. */
static const char *told_level(const struct model *m, const char *level, bool first, char *out)
{
	const char *open = strstr(level, "${"), *value;

	if (open == NULL)
		return level;
	value = open[2] == 'd' ? m->device : open[2] == 'g' ? m->group : m->claim;
	if (value[0] == '\0' || strpbrk(value, "+#/\n") != NULL ||
	    (first && open == level && value[0] == '$'))
		return NULL;
	sprintf(out, "%.*s%s%s", (int)(open - level), level, value, strchr(open, '}') + 1);
	return out;
}

/* The filter for this subject.  An allow with an untold level is ""; a deny has '+' there, and in
 * an exact deny '?', which is any one level as it is written. */
static void tell(const struct model *m, const struct rule *r, char *out)
{
	const char *rest = r->filter;
	bool first = true;

	for (char *end = out;; first = false) {
		char level[64], space[64];
		const char *told;

		snprintf(level, sizeof(level), "%.*s", (int)strcspn(rest, "/"), rest);
		rest += strcspn(rest, "/");
		told = told_level(m, level, first, space);
		if (told == NULL && !r->deny) {
			out[0] = '\0';
			return;
		}
		end += sprintf(end, "%s%s",
			       told != NULL ? told
			       : r->exact   ? "?"
					    : "+",
			       *rest == '/' ? "/" : "");
		if (*rest++ == '\0')
			return;
	}
}

static const char *spelling(const char *f)
{
	return strcmp(f, "+/#") == 0 ? "#" : strcmp(f, "/+/#") == 0 ? "/#" : f;
}

/* Two filters written alike; '?' in the rule's is any level that is not a '#'. */
static bool alike(const char *rule, const char *f)
{
	rule = spelling(rule);
	f = spelling(f);
	if (rule[0] == '?' && f[0] == '$')
		return false;
	while (*rule != '\0') {
		if (*rule == '?') {
			rule++;
			if (*f == '#')
				return false;
			f += strcspn(f, "/");
		} else if (*rule++ != *f++) {
			return false;
		}
	}
	return *f == '\0';
}

/* ---- the oracle: decisions ----------------------------------------------------------------- */

struct scene {
	struct circumstance how;
	u32 listener_no, source_no; /* 2: none */
	u32 beside;		    /* outside of that source, but near; 2: not */
};

static bool role_here(const struct model *m, u32 role, const struct scene *s)
{
	const bool here[] = {true, s->source_no == 0, s->source_no == 1, s->source_no != 0,
			     s->beside == 1};

	_Static_assert(ARRAY_LEN(here) == ARRAY_LEN(places), "an answer for each place");
	return here[m->place[role]];
}

static bool cond_holds(const struct cond *c, const struct scene *s, bool at_subscribe, bool deny)
{
	bool retain = at_subscribe ? !deny : s->how.retain == c->retain_is;

	return (!c->qos || (s->how.qos >= c->qos_min && s->how.qos <= c->qos_max)) &&
	       (!c->retain || retain) && (!c->tls || s->how.tls == c->tls_is) &&
	       (!c->listener || s->listener_no == c->listener_no) &&
	       (!c->source || s->source_no == c->source_no);
}

static bool concerns(const struct model *m, const struct rule *r, enum action a,
		     const struct scene *s)
{
	return r->action == a && (r->owner == EVERYONE ||
				  (m->has[r->owner] && (r->deny || role_here(m, r->owner, s))));
}

static enum verdict oracle_topic(const struct model *m, enum action a, u32 k, const struct scene *s)
{
	bool allowed = false;

	for (u32 i = 0; i < m->nrules; i++) {
		const struct rule *r = &m->rules[i];

		if (!concerns(m, r, a, s) || !(m->set[i].w[k / 64] >> k % 64 & 1) ||
		    !cond_holds(&r->cond, s, false, r->deny))
			continue;
		if (r->deny && !r->exact)
			return DENY;
		allowed = allowed || !r->deny;
	}
	return allowed ? ALLOW : DENY;
}

static bool subset(const struct bits *a, const struct bits *b)
{
	for (u32 i = 0; i < WORDS; i++) {
		if (a->w[i] & ~b->w[i])
			return false;
	}
	return true;
}

static bool meet(const struct bits *a, const struct bits *b)
{
	for (u32 i = 0; i < WORDS; i++) {
		if (a->w[i] & b->w[i])
			return true;
	}
	return false;
}

static void unite(struct bits *a, const struct bits *b)
{
	for (u32 i = 0; i < WORDS; i++)
		a->w[i] |= b->w[i];
}

static bool no_cond(const struct cond *c)
{
	return !c->qos && !c->retain && !c->tls && !c->listener && !c->source;
}

static enum verdict oracle_filter(const struct model *m, const char *f, const struct scene *s,
				  bool *clear)
{
	struct bits asked = set_of(f), allow = {0}, always = {0}, deny = {0};
	bool refused = false, cut = false;

	for (u32 i = 0; i < m->nrules; i++) {
		const struct rule *r = &m->rules[i];
		bool holds = cond_holds(&r->cond, s, true, r->deny);
		bool is = m->told[i][0] != '\0' && alike(m->told[i], f);

		if (!concerns(m, r, ACT_SUBSCRIBE, s))
			continue;
		cut = cut || (r->deny && !r->exact && meet(&asked, &m->set[i]));
		refused = refused || (r->deny && r->exact && holds && is);
		if (!holds || (r->exact && (r->deny || !is)))
			continue;
		unite(r->deny ? &deny : &allow, &m->set[i]);
		if (!r->deny && no_cond(&r->cond) && m->place[r->owner] == 0)
			unite(&always, &m->set[i]);
	}
	*clear = false;
	if (refused || subset(&asked, &deny) || !subset(&asked, &allow))
		return DENY;
	*clear = !cut && subset(&asked, &always);
	return ALLOW;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static struct scene random_scene(struct model *m)
{
	static const u8 inside[2][16] = {{[10] = 0xff, 0xff, 10, 127, 3, 4},
					 {0x20, 0x01, 0x0d, 0xb8, 0x7f}};
	static const u8 outside[2][16] = {{[10] = 0xff, 0xff, 10, 128, 3, 4},
					  {0x20, 0x01, 0x0d, 0xb8, 0x80}};
	struct scene s = {.listener_no = upto(m, 3), .source_no = upto(m, 3), .beside = 2};

	s.how.qos = (u8)upto(m, 3);
	s.how.retain = one_in(m, 2);
	s.how.tls = one_in(m, 2);
	if (s.listener_no < 2)
		s.how.listener = slice_str(listeners[s.listener_no]);
	if (s.source_no < 2)
		memcpy(s.how.addr, inside[s.source_no], 16);
	else
		s.beside = upto(m, 3);
	if (s.beside < 2)
		memcpy(s.how.addr, outside[s.beside], 16);
	return s;
}

static bool step_topic(struct model *m, const struct policy *p, const struct subject *who,
		       enum action a, const struct scene *s)
{
	u32 k = upto(m, TOPICS);
	enum verdict want = oracle_topic(m, a, k, s);
	struct explanation why;

	rights_explain(p, who, a, slice_str(topics[k]), &s->how, &why);
	if ((a == ACT_PUBLISH ? rights_publish(p, who, &parsed[k], &s->how)
			      : rights_deliver(p, who, &parsed[k], &s->how)) == want &&
	    (a == ACT_SUBSCRIBE || why.verdict == want))
		return true;
	print_error("%s %s: wanted %d\n", a == ACT_PUBLISH ? "publish" : "deliver", topics[k],
		    want);
	return false;
}

static bool step_filter(struct model *m, const struct policy *p, const struct subject *who,
			const struct scene *s)
{
	char text[96];
	bool clear, want_clear;
	enum verdict want;
	struct filter f;

	if (one_in(m, 2))
		random_filter(m, PATTERNS, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%s", m->told[upto(m, m->nrules)]);
	if (text[0] == '\0' || strchr(text, '?') != NULL)
		snprintf(text, sizeof(text), "#");
	f = filter_of(text);
	want = oracle_filter(m, text, s, &want_clear);
	if (rights_subscribe(p, who, &f, &s->how, &clear) == want && clear == want_clear)
		return true;
	print_error("subscribe %s: wanted %d, clear %d\n", text, want, want_clear);
	return false;
}

static bool run_subject(struct model *m, const struct policy *p, u32 *granted)
{
	struct subject_claim claim = {SLICE_LIT("k"), SLICE_NONE};
	u32 roles[ROLES];
	struct subject who = {.roles = roles, .claims = &claim, .nclaims = 1};

	m->device = devices[upto(m, ARRAY_LEN(devices))];
	m->group = values[upto(m, ARRAY_LEN(values))];
	m->claim = values[upto(m, ARRAY_LEN(values))];
	who.device = slice_str(m->device);
	who.group = slice_str(m->group);
	claim.value = slice_str(m->claim);
	for (u32 i = 0; i < ROLES; i++) {
		m->has[i] = !one_in(m, 3);
		if (m->has[i])
			roles[who.nroles++] = (i + 1) * 10;
	}
	for (u32 i = 0; i < m->nrules; i++) {
		char widest[96];
		struct rule r = m->rules[i];

		tell(m, &r, m->told[i]);
		r.exact = false; /* as a set of topics, what cannot be told is any level */
		tell(m, &r, widest);
		m->set[i] = set_of(widest);
	}
	for (u32 i = 0; i < STEPS; i++) {
		struct scene s = random_scene(m);
		u32 kind = upto(m, 3);

		if (kind == 2 ? !step_filter(m, p, &who, &s)
			      : !step_topic(m, p, &who, kind ? ACT_PUBLISH : ACT_SUBSCRIBE, &s)) {
			print_error("device '%s' group '%s' claim '%s' roles %u%u%u\n", m->device,
				    m->group, m->claim, m->has[0], m->has[1], m->has[2]);
			return false;
		}
		granted[kind]++;
	}
	return true;
}

static bool run_policy(u64 seed, u32 *granted)
{
	struct model m = {.seed = seed * 0x10000};
	struct rig rig;
	bool good = true;

	m.nrules = 1 + upto(&m, RULES);
	for (u32 i = 0; i < m.nrules; i++)
		random_rule(&m, &m.rules[i]);
	for (u32 i = 0; i < ROLES; i++)
		m.place[i] = one_in(&m, 2) ? upto(&m, ARRAY_LEN(places)) : 0;
	rig = rig_of_model(&m);
	for (u32 i = 0; i < SUBJECTS && good; i++)
		good = run_subject(&m, rig.p, granted);
	if (!good) {
		char *text;

		assert_int_equal(policy_print(rig.doc, &text), E_OK);
		print_error("%s", text);
		free(text);
	}
	rig_free(&rig);
	return good;
}

static void the_oracle_agrees(void **state)
{
	const char *only = getenv("MODEL_SEED");
	u64 seed = only != NULL ? strtoull(only, NULL, 10) : 1;
	u64 end = only != NULL ? seed + 1 : seed + POLICIES;
	u32 steps[3] = {0};

	for (; seed < end; seed++) {
		if (!run_policy(seed, steps))
			fail_msg("MODEL_SEED=%llu", (unsigned long long)seed);
	}
	print_message("%u deliveries, %u publications, %u subscriptions\n", steps[0], steps[1],
		      steps[2]);
}

static int setup(void **state)
{
	u32 n = 0;

	for (u32 depth = 1, count = NAMES; depth <= 4; depth++, count *= NAMES) {
		for (u32 code = 0; code < count; code++) {
			char *out = topics[n];

			for (u32 i = 0, c = code; i < depth; i++, c /= NAMES)
				out += sprintf(out, "%s%s", i != 0 ? "/" : "", names[c % NAMES]);
			if (topics[n][0] == '\0') /* no topic is empty; have a longer one instead */
				snprintf(topics[n], sizeof(topics[n]), "c/c/c/c/c");
			parsed[n] = topic_of(topics[n]);
			n++;
		}
	}
	return n == TOPICS ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oracle_agrees),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
