/* What a policy allows, case by case. */
#include "help.h"

static const u32 ten[] = {10};
static const struct circumstance plain;

static enum verdict publish(const struct rig *r, const char *device, const char *topic)
{
	struct subject who = subject_of(device, ten, 1);
	struct topic t = topic_of(topic);

	return rights_publish(r->p, &who, &t, &plain);
}

static enum verdict deliver(const struct rig *r, const char *device, const char *topic)
{
	struct subject who = subject_of(device, ten, 1);
	struct topic t = topic_of(topic);

	return rights_deliver(r->p, &who, &t, &plain);
}

static enum verdict subscribe(const struct rig *r, const char *device, const char *filter,
			      bool *clear)
{
	struct subject who = subject_of(device, ten, 1);
	struct filter f = filter_of(filter);

	return rights_subscribe(r->p, &who, &f, &plain, clear);
}

/* One question a line: "+p topic" is an allowed publication, "-s filter" a refused subscription,
 * "d" a delivery, "c" a subscription that is granted and clear, "u" granted and not clear. */
static void check(const struct rig *r, const char *device, const char *const *lines)
{
	for (; *lines != NULL; lines++) {
		const char *what = *lines + 3;
		enum verdict want = (*lines)[0] == '+' ? ALLOW : DENY, got = DENY;
		bool clear = false;

		switch ((*lines)[1]) {
		case 'p':
			got = publish(r, device, what);
			break;
		case 'd':
			got = deliver(r, device, what);
			break;
		default:
			got = subscribe(r, device, what, &clear);
			if ((*lines)[1] != 's' && clear != ((*lines)[1] == 'c'))
				fail_msg("%s: %s: clear is %d", device, *lines, clear);
		}
		if (got != want)
			fail_msg("%s: %s", device, *lines);
	}
}

#define CHECK(rig, device, ...) check(rig, device, (const char *const[]){__VA_ARGS__, NULL})

static void nothing_allowed_is_denied(void **state)
{
	struct rig r = rig_of("role empty { }");

	CHECK(&r, "esp01", "-p a", "-d a", "-s a", "-s #", "-p $SYS/x");
	rig_free(&r);
}

static void the_sensor_of_the_manual(void **state)
{
	struct rig r = rig_of("role sensor {\n"
			      "  publish   home/${device}/tele/#      # a comment\n"
			      "  subscribe home/${device}/cmd/#\n"
			      "  deny publish home/${device}/tele/secret\n"
			      "}\n"
			      "deny * subscribe exact #\n");

	CHECK(&r, "esp01", "+p home/esp01/tele/temp", "+p home/esp01/tele",
	      "-p home/esp02/tele/temp", "-p home/esp01/tele/secret", "+p home/esp01/tele/secret/x",
	      "-p home/esp01/cmd/x", "-p home/esp01", "-p Home/esp01/tele/x",
	      "-p home/esp011/tele/x", "-p home//tele/x");
	CHECK(&r, "esp01", "+c home/esp01/cmd/#", "+c home/esp01/cmd/+", "+c home/esp01/cmd",
	      "-s home/+/cmd/#", "-s home/#", "-s #", "-s +/esp01/cmd/#", "+d home/esp01/cmd/x",
	      "-d home/esp02/cmd/x", "-d home/esp01/tele/x", "+c $share/g/home/esp01/cmd/#",
	      "-s $share/g/#", "-s home/esp01/#");
	rig_free(&r);
}

static void a_value_is_never_more_than_a_level(void **state)
{
	static const char *const bad[] = {"+",	"#",	"a/b",	"a+",	    "",	    "/",
					  "x#", "\x01", "a\nb", "\xc3\x28", "\x7f", NULL};
	struct rig r = rig_of("role x { publish d/${device}/t; subscribe d/${device}/t; subscribe "
			      "p/dev-${device}/t; deny publish e/${device}; publish e/+; "
			      "publish f/${device}${device} }");

	for (u32 i = 0; bad[i] != NULL; i++) {
		CHECK(&r, bad[i], "-s d/+/t", "-s d/#", "-p d/a/t", "-p d/a/b/t", "-s p/dev-a/t",
		      "-s p/+/t", "-s p/dev-/t", "-p d//t", "-s d//t", "-p f/");
		CHECK(&r, bad[i], "-p e/a", "-p e/b"); /* an untold deny takes any level */
	}
	CHECK(&r, "a", "+p d/a/t", "+s p/dev-a/t", "-s p/dev-b/t", "-p e/a", "+p e/b", "+p f/aa",
	      "-p f/a", "-p f/aaa");
	rig_free(&r);
}

static void dollar_topics_are_written_out(void **state)
{
	struct rig r = rig_of("role x { publish #; subscribe #; publish +/a; publish ${device}/b; "
			      "subscribe $SYS/broker/#; deny subscribe $SYS/broker/+/secret; "
			      "deny publish ${device}/c }");

	CHECK(&r, "$SYS", "-p $SYS/a", "-p $SYS/b", "-p $x", "+d $SYS/broker/x", "-d $SYS/other",
	      "+u $SYS/broker/#", "-s $SYS/#", "+c #", "-d $SYS/broker/a/secret", "+p b",
	      "-p anything/c", "+p anything/b");
	CHECK(&r, "b", "-p b/c", "+p a/c", "-p $SYS/c", "+c +/+", "-s $SYS/+", "+c $SYS/broker/y");
	rig_free(&r);
}

static void deny_wins_and_cuts(void **state)
{
	struct rig r =
		rig_of("role x { subscribe a/#; deny subscribe a/b/#; deny subscribe a/+/z }");

	CHECK(&r, "x", "+u a/#", "-s a/b/#", "-s a/b", "-s a/b/c", "+c a/c", "+u a/+", "+u a/c/#",
	      "-s a/c/z", "+c a/c/y", "+c a/c/y/#", "-s a/+/z", "-d a/b", "-d a/b/z", "+d a/c/y");
	rig_free(&r);
}

static void unions_cover_exactly(void **state)
{
	struct rig r =
		rig_of("role x { subscribe a; subscribe a/+/#; subscribe b/+; subscribe b/+/+/#; "
		       "subscribe c/x; subscribe c/y }");

	CHECK(&r, "x", "+c a/#", "+c b/+/#", "-s b/#", "-s c/+", "-s c/#", "-s +/#", "+c a/b/#",
	      "-s +");
	rig_free(&r);
}

static void a_value_with_dollar_only_inside_the_topic(void **state)
{
	struct rig r = rig_of("role x { publish x-${device}/a; publish b/${device} }");

	CHECK(&r, "$s", "+p x-$s/a", "+p b/$s");
	rig_free(&r);
}

static void exact_is_about_the_filter(void **state)
{
	struct rig r = rig_of(
		"role x { subscribe a/#; subscribe exact +/status; deny subscribe exact a/#; "
		"deny subscribe exact a/one; deny subscribe exact a/${group} }\n"
		"deny * subscribe exact #");

	CHECK(&r, "x", "-s a/#", "+c a/+/#", "-s a/one", "+d a/one", "-s $share/g/a/#", "-s #",
	      "-s +/#");
	CHECK(&r, "x", "+c +/status", "-s b/status", "+d b/status", "-s +/+");
	CHECK(&r, "x", "-s a/two",
	      "-s a/+"); /* without a group, any level may be the one that is meant */
	rig_free(&r);
}

static void roles_add_up_and_a_deny_of_one_wins(void **state)
{
	struct rig r = rig_of("role a { publish x/#; subscribe x/# }\n"
			      "role b { publish y; deny publish x/y; subscribe y/# }\n"
			      "deny * publish +/z\n"
			      "deny * subscribe y/secret\n");
	static const u32 both[] = {20, 10, 77, 10};
	struct subject who = subject_of("d", both, 4);
	struct topic t = topic_of("x/y"), z = topic_of("x/z"), ok = topic_of("x/w");
	struct filter f = filter_of("y/#");
	bool clear;

	assert_int_equal(rights_publish(r.p, &who, &ok, &plain), ALLOW);
	assert_int_equal(rights_publish(r.p, &who, &t, &plain), DENY);
	assert_int_equal(rights_publish(r.p, &who, &z, &plain), DENY);
	assert_int_equal(rights_subscribe(r.p, &who, &f, &plain, &clear), ALLOW);
	assert_false(clear);
	who.nroles = 0;
	assert_int_equal(rights_publish(r.p, &who, &ok, &plain), DENY);
	assert_int_equal(rights_subscribe(r.p, &who, &f, &plain, &clear), DENY);
	who = subject_of("d", both + 2, 1); /* a role that the policy does not have */
	assert_int_equal(rights_publish(r.p, &who, &ok, &plain), DENY);
	rig_free(&r);
}

/* ---- conditions ------------------------------------------------------------------------ */

static enum verdict publish_how(const struct rig *r, const char *topic,
				const struct circumstance *how)
{
	struct subject who = subject_of("d", ten, 1);
	struct topic t = topic_of(topic);

	return rights_publish(r->p, &who, &t, how);
}

static void conditions_of_a_publication(void **state)
{
	struct rig r = rig_of(
		"role x { publish q if qos 0..1; publish r if retain no; publish t if tls yes; "
		"publish l if listener mqtts; publish all if qos 2, tls yes; "
		"publish n; deny publish n if tls no }");
	struct circumstance how = {.qos = 1, .listener = SLICE_LIT("mqtts"), .tls = true};

	assert_int_equal(publish_how(&r, "q", &how), ALLOW);
	assert_int_equal(publish_how(&r, "r", &how), ALLOW);
	assert_int_equal(publish_how(&r, "t", &how), ALLOW);
	assert_int_equal(publish_how(&r, "l", &how), ALLOW);
	assert_int_equal(publish_how(&r, "n", &how), ALLOW);
	assert_int_equal(publish_how(&r, "all", &how), DENY);
	how = (struct circumstance){.qos = 2, .retain = true, .listener = SLICE_LIT("mqtt")};
	assert_int_equal(publish_how(&r, "q", &how), DENY);
	assert_int_equal(publish_how(&r, "r", &how), DENY);
	assert_int_equal(publish_how(&r, "t", &how), DENY);
	assert_int_equal(publish_how(&r, "l", &how), DENY);
	assert_int_equal(publish_how(&r, "n", &how), DENY);
	assert_int_equal(publish_how(&r, "all", &how), DENY);
	how.tls = true;
	assert_int_equal(publish_how(&r, "all", &how), ALLOW);
	rig_free(&r);
}

static void conditions_of_a_source(void **state)
{
	struct rig r = rig_of(
		"role x { publish four if source 10.128.0.0/9; publish one if source 10.0.0.7; "
		"publish six if source 2001:db8::/33; publish any if source ::/0 }");
	struct circumstance how = {.addr = {[10] = 0xff, 0xff, 10, 200, 1, 1}};

	assert_int_equal(publish_how(&r, "four", &how), ALLOW);
	assert_int_equal(publish_how(&r, "any", &how), ALLOW);
	assert_int_equal(publish_how(&r, "six", &how), DENY);
	how.addr[13] = 127;
	assert_int_equal(publish_how(&r, "four", &how), DENY);
	how = (struct circumstance){.addr = {[10] = 0xff, 0xff, 10, 0, 0, 7}};
	assert_int_equal(publish_how(&r, "one", &how), ALLOW);
	how.addr[15] = 6;
	assert_int_equal(publish_how(&r, "one", &how), DENY);
	how = (struct circumstance){.addr = {0x20, 0x01, 0x0d, 0xb8, 0x7f}};
	assert_int_equal(publish_how(&r, "six", &how), ALLOW);
	how.addr[4] = 0x80;
	assert_int_equal(publish_how(&r, "six", &how), DENY);
	how = (struct circumstance){0}; /* a unix socket is in no network */
	assert_int_equal(publish_how(&r, "any", &how), DENY);
	rig_free(&r);
}

/* From elsewhere a role gives nothing, and what it denies stays denied. */
static void a_role_holds_in_its_networks(void **state)
{
	struct rig r = rig_of("role x { source 10.0.0.0/8, 2001:db8::/32, not 10.9.0.0/16\n"
			      "publish in; deny publish never; limit publish 9/s }\n"
			      "role y { source not 10.9.0.0/16; publish out; publish never }");
	static const u32 both[] = {10, 20};
	static const struct {
		u8 addr[16];
		enum verdict in, out;
		u32 rate;
	} from[] = {
		{{[10] = 0xff, 0xff, 10, 1, 1, 1}, ALLOW, ALLOW, 9},
		{{0x20, 0x01, 0x0d, 0xb8, 1}, ALLOW, ALLOW, 9},
		{{[10] = 0xff, 0xff, 10, 9, 1, 1}, DENY, DENY, 0},
		{{[10] = 0xff, 0xff, 11, 1, 1, 1}, DENY, ALLOW, 0},
		{{0}, DENY, ALLOW, 0},
		{{1, 0, 0, 0, 3, 0xe8}, DENY, ALLOW, 0}, /* a unix socket's peer */
	};
	struct subject who = subject_of("d", both, 2);
	struct topic in = topic_of("in"), out = topic_of("out"), never = topic_of("never");
	struct explanation why;
	struct role_limits l;

	for (u32 i = 0; i < ARRAY_LEN(from); i++) {
		struct circumstance how = {0};
		memcpy(how.addr, from[i].addr, 16);
		assert_int_equal(rights_publish(r.p, &who, &in, &how), from[i].in);
		assert_int_equal(rights_publish(r.p, &who, &out, &how), from[i].out);
		assert_int_equal(rights_publish(r.p, &who, &never, &how), DENY);
		policy_limits(r.p, both, 2, how.addr, &l);
		assert_int_equal(l.publish_rate, from[i].rate);
		rights_explain(r.p, &who, ACT_PUBLISH, SLICE_LIT("in"), &how, &why);
		assert_int_equal(why.elsewhere, from[i].in == DENY);
	}
	rig_free(&r);
}

/* Nor is a subscription that it grants free of questions later: it may be resumed from elsewhere.
 */
static void a_subscription_of_such_a_role_is_never_clear(void **state)
{
	struct rig r = rig_of("role x { source 10.0.0.0/8; subscribe a/# }");
	struct subject who = subject_of("d", ten, 1);
	struct circumstance how = {.addr = {[10] = 0xff, 0xff, 10, 1, 1, 1}};
	struct filter f = filter_of("a/#");
	struct topic t = topic_of("a/b");
	bool clear = true;

	assert_int_equal(rights_subscribe(r.p, &who, &f, &how, &clear), ALLOW);
	assert_false(clear);
	assert_int_equal(rights_deliver(r.p, &who, &t, &how), ALLOW);
	how.addr[12] = 11;
	assert_int_equal(rights_subscribe(r.p, &who, &f, &how, &clear), DENY);
	assert_int_equal(rights_deliver(r.p, &who, &t, &how), DENY);
	rig_free(&r);
}

static void conditions_of_a_subscription(void **state)
{
	struct rig r = rig_of("role x { subscribe q if qos 0..1; subscribe r if retain no; "
			      "subscribe d; deny subscribe d if retain yes; "
			      "subscribe t; deny subscribe t if tls no }");
	struct subject who = subject_of("d", ten, 1);
	struct circumstance how = {.qos = 2, .tls = true};
	struct filter q = filter_of("q"), ret = filter_of("r"), d = filter_of("d"),
		      t = filter_of("t");
	struct topic topic = topic_of("r"), denied = topic_of("d");
	bool clear = true;

	assert_int_equal(rights_subscribe(r.p, &who, &q, &how, &clear), DENY);
	how.qos = 1;
	assert_int_equal(rights_subscribe(r.p, &who, &q, &how, &clear), ALLOW);
	assert_false(clear);
	/* Nobody knows yet what will be retained: granted, and told apart at each delivery. */
	assert_int_equal(rights_subscribe(r.p, &who, &ret, &how, &clear), ALLOW);
	assert_false(clear);
	assert_int_equal(rights_subscribe(r.p, &who, &d, &how, &clear), ALLOW);
	assert_false(clear);
	assert_int_equal(rights_deliver(r.p, &who, &topic, &how), ALLOW);
	assert_int_equal(rights_deliver(r.p, &who, &denied, &how), ALLOW);
	how.retain = true;
	assert_int_equal(rights_deliver(r.p, &who, &topic, &how), DENY);
	assert_int_equal(rights_deliver(r.p, &who, &denied, &how), DENY);
	assert_int_equal(rights_subscribe(r.p, &who, &t, &how, &clear), ALLOW);
	assert_false(clear); /* over another connection the deny would hold */
	how.tls = false;
	assert_int_equal(rights_subscribe(r.p, &who, &t, &how, &clear), DENY);
	rig_free(&r);
}

static void every_placeholder_has_its_value(void **state)
{
	struct rig r = rig_of(
		"role x { publish 1/${device}; publish 2/${clientid}; publish 3/${username}; "
		"publish 4/${cert.cn}; publish 5/${cert.san}; publish 6/${group}; "
		"publish 7/${claim.site}; publish 8/${claim.none} }");
	const struct subject_claim claims[] = {{SLICE_LIT("sit"), SLICE_LIT("x")},
					       {SLICE_LIT("site"), SLICE_LIT("G")}};
	struct subject who = {
		.device = SLICE_LIT("A"),
		.client_id = SLICE_LIT("B"),
		.username = SLICE_LIT("C"),
		.cert_cn = SLICE_LIT("D"),
		.cert_san = SLICE_LIT("E"),
		.group = SLICE_LIT("F"),
		.roles = ten,
		.nroles = 1,
		.claims = claims,
		.nclaims = 2,
	};

	for (char n = '1'; n <= '8'; n++) {
		for (char v = 'A'; v <= 'H'; v++) {
			char text[] = {n, '/', v, '\0'};
			struct topic t = topic_of(text);

			assert_int_equal(rights_publish(r.p, &who, &t, &plain),
					 n - '1' == v - 'A' && n != '8');
		}
	}
	rig_free(&r);
}

/* ---- why ------------------------------------------------------------------------------- */

static void explanations(void **state)
{
	struct rig r = rig_of(
		"role lamp { publish zz/lamp }\n"
		"role sensor { publish home/${device}/tele/#; subscribe home/${device}/cmd/#;"
		" deny publish home/${device}/tele/secret; publish plant/log if tls yes }\n"
		"deny * subscribe exact #");
	static const u32 roles[] = {10, 20};
	struct subject who = subject_of("esp01", roles, 2);
	struct explanation why;

	rights_explain(r.p, &who, ACT_PUBLISH, SLICE_LIT("home/esp01/tele/t"), &plain, &why);
	assert_int_equal(why.verdict, ALLOW);
	assert_string_equal(why.role, "sensor");
	assert_string_equal(why.rule, "publish home/${device}/tele/#");
	assert_string_equal(why.nearest, "");
	rights_explain(r.p, &who, ACT_PUBLISH, SLICE_LIT("home/esp01/tele/secret"), &plain, &why);
	assert_int_equal(why.verdict, DENY);
	assert_string_equal(why.rule, "deny publish home/${device}/tele/secret");
	assert_string_equal(why.role, "sensor");
	rights_explain(r.p, &who, ACT_PUBLISH, SLICE_LIT("home/esp02/tele/t"), &plain, &why);
	assert_string_equal(why.rule, "");
	assert_string_equal(why.role, "");
	assert_string_equal(why.nearest, "publish home/${device}/tele/#");
	assert_string_equal(why.nearest_role, "sensor");
	rights_explain(r.p, &who, ACT_PUBLISH, SLICE_LIT("plant/log"), &plain, &why);
	assert_int_equal(why.verdict, DENY);
	assert_string_equal(why.nearest, "publish plant/log if tls yes");
	rights_explain(r.p, &who, ACT_SUBSCRIBE, SLICE_LIT("#"), &plain, &why);
	assert_int_equal(why.verdict, DENY);
	assert_string_equal(why.rule, "deny * subscribe exact #");
	assert_string_equal(why.role, "");
	rights_explain(r.p, &who, ACT_SUBSCRIBE, SLICE_LIT("home/esp01/cmd/+"), &plain, &why);
	assert_int_equal(why.verdict, ALLOW);
	assert_string_equal(why.rule, "subscribe home/${device}/cmd/#");
	rights_explain(r.p, &who, ACT_PUBLISH, SLICE_LIT("not/#/a topic"), &plain, &why);
	assert_int_equal(why.verdict, DENY);
	assert_string_equal(why.nearest, "");
	rights_explain(r.p, &who, ACT_SUBSCRIBE, SLICE_LIT("a/#/b"), &plain, &why);
	assert_int_equal(why.verdict, DENY);
	rig_free(&r);
}

static void an_explanation_is_cut_not_overrun(void **state)
{
	char text[2200], filter[1025], *end = text;
	struct subject who = subject_of("d", ten, 1);
	struct explanation why;
	struct rig r;

	memset(filter, '"', 1024); /* the longest filter, of what takes two bytes when quoted */
	filter[1024] = '\0';
	end += sprintf(end, "role x { publish \"");
	for (u32 i = 0; i < 1024; i++)
		end += sprintf(end, "\\\"");
	sprintf(end, "\" }");
	r = rig_of(text);
	rights_explain(r.p, &who, ACT_PUBLISH, slice_str(filter), &plain, &why);
	assert_int_equal(why.verdict, ALLOW);
	assert_int_equal(strlen(why.rule), sizeof(why.rule) - 1);
	assert_string_equal(why.rule + sizeof(why.rule) - 4, "...");
	rig_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_allowed_is_denied),
		cmocka_unit_test(the_sensor_of_the_manual),
		cmocka_unit_test(a_value_is_never_more_than_a_level),
		cmocka_unit_test(dollar_topics_are_written_out),
		cmocka_unit_test(deny_wins_and_cuts),
		cmocka_unit_test(unions_cover_exactly),
		cmocka_unit_test(a_value_with_dollar_only_inside_the_topic),
		cmocka_unit_test(exact_is_about_the_filter),
		cmocka_unit_test(roles_add_up_and_a_deny_of_one_wins),
		cmocka_unit_test(conditions_of_a_publication),
		cmocka_unit_test(conditions_of_a_source),
		cmocka_unit_test(a_role_holds_in_its_networks),
		cmocka_unit_test(a_subscription_of_such_a_role_is_never_clear),
		cmocka_unit_test(conditions_of_a_subscription),
		cmocka_unit_test(every_placeholder_has_its_value),
		cmocka_unit_test(explanations),
		cmocka_unit_test(an_explanation_is_cut_not_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
