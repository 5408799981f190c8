/* Every error example of the vectors document against the whole core: the connection closes, with
 * the code that is allowed if any, and a bystander notices nothing. */
#include <stdlib.h>

#include "peer.h"

struct row {
	char kind[16], id[16], where[16], expected[16];
	u8 version, bytes[256];
	size_t n;
};

static bool row_parse(char *line, struct row *r)
{
	char version[8], hex[600];

	if (sscanf(line, "%15s %15s %15s %7s %*s %599s %15s", r->kind, r->id, r->where, version,
		   hex, r->expected) != 6 ||
	    strcmp(r->kind, "error") != 0)
		return false;
	r->version = (u8)(version[0] - '0');
	r->n = strlen(hex) / 2;
	assert_in_range(r->n, 1, sizeof(r->bytes));
	for (size_t i = 0; i < r->n; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
		r->bytes[i] = (u8)strtoul(two, NULL, 16);
	}
	return true;
}

static bool code_allowed(const struct row *r, int code)
{
	char two[3];

	snprintf(two, sizeof(two), "%02X", (u32)code & 0xff);
	return strstr(r->expected, two) != NULL;
}

static void check_new(const struct row *r, struct wconn *c)
{
	struct pkt_connack ack;
	int code;

	if (r->version == MQTT_5 && strcmp(r->id, "E5-02") != 0) {
		c->version = MQTT_5;
		code = peer_connack(c, &ack);
		if (code != -1 && !code_allowed(r, code))
			fail_msg("%s: CONNACK %02x", r->id, (u32)code);
		return;
	}
	c->version = MQTT_311;
	code = peer_connack(c, &ack);
	if (strcmp(r->expected, "84") == 0)
		assert_int_equal(code, 1);
	else if (strcmp(r->expected, "85") == 0)
		assert_int_equal(code, 2);
	else if (code != -1)
		fail_msg("%s: CONNACK %d", r->id, code);
}

static void check_open(const struct row *r, struct wconn *c)
{
	int code;

	if (r->version == MQTT_5 && strcmp(r->expected, "entry") != 0) {
		code = peer_expect_disconnect(c);
		if (!code_allowed(r, code))
			fail_msg("%s: DISCONNECT %02x, not %s", r->id, (u32)code, r->expected);
	}
	peer_expect_nothing(c);
}

static void run(const struct row *r)
{
	struct world *w = peer_world(2);
	struct wconn *bystander = peer_connect(w, .user = "b"), *c;
	struct frame f;
	struct slice body;

	peer_subscribe(bystander, .filter = "#");
	if (strcmp(r->where, "open") == 0)
		c = peer_connect_on(w, 1, &(struct peer_opts){.user = "a", .version = r->version});
	else
		c = world_connect(w, 1);
	wconn_send(c, slice_of(r->bytes, r->n));
	world_run(w);
	if (strcmp(r->expected, "entry") == 0 && !peer_gone(c)) {
		assert_true(wconn_next(c, &f, &body));
		assert_int_equal(f.type, PKT_SUBACK);
		assert_in_range(body.p[body.n - 1], 0x80, 0x8f);
	} else if (!peer_gone(c)) {
		fail_msg("%s: still open", r->id);
	} else if (strcmp(r->where, "open") == 0) {
		check_open(r, c);
	} else {
		check_new(r, c);
	}
	peer_expect_nothing(bystander);
	wconn_send(bystander, SLICE_LIT("\xc0\0"));
	world_run(w);
	assert_true(wconn_next(bystander, &f, &body));
	assert_int_equal(f.type, PKT_PINGRESP);
	world_free(&w);
}

static void test_errors(void **state)
{
	FILE *f = fopen(VECTORS_TSV, "r");
	char line[4096];
	struct row r;
	u32 n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (!row_parse(line, &r))
			continue;
		run(&r);
		n++;
	}
	fclose(f);
	assert_in_range(n, 100, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_errors)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
