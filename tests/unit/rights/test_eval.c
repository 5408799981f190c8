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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_allowed_is_denied),
		cmocka_unit_test(the_sensor_of_the_manual),
		cmocka_unit_test(a_value_is_never_more_than_a_level),
		cmocka_unit_test(dollar_topics_are_written_out),
		cmocka_unit_test(deny_wins_and_cuts),
		cmocka_unit_test(unions_cover_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
