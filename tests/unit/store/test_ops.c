/* Every operation, with the same bodies on every kind of store. */
#include <stdio.h>
#include <stdlib.h>

#include "help.h"

static bool session_one(void *arg, const struct store_session *x)
{
	struct store_session *to = arg;

	*to = *x;
	/* Views live during the call only: what is compared later is compared here. */
	if (x->sid == 7) {
		assert_true(slice_eq(x->identity, SLICE_LIT("anna")));
		assert_true(slice_eq(x->client_id, SLICE_LIT("c7")));
		assert_true(slice_eq(x->username, SLICE_LIT("user")));
		assert_true(slice_eq(x->cert_cn, SLICE_LIT("cn")));
		assert_true(slice_eq(x->cert_san, SLICE_LIT("san")));
		assert_true(slice_eq(x->listener, SLICE_LIT("mqtts")));
		assert_memory_equal(x->addr, "0123456789abcdef", 16);
		assert_true(slice_eq(x->will.m.topic, SLICE_LIT("will/topic")));
		assert_true(slice_eq(x->will.m.props, SLICE_LIT("pp")));
		assert_int_equal(x->will.m.payload.n, 0);
		assert_true(x->will.expires && x->will.m.retain && x->tls);
		assert_int_equal(x->will.m.qos, 2);
		assert_int_equal(x->will.delay_s, 30);
		assert_int_equal(x->will.expiry_s, 60);
	}
	return true;
}

static u64 sessions_of(struct house *h, struct store_session *last)
{
	u64 damaged;

	*last = (struct store_session){.sid = 0};
	assert_int_equal(store_each_session(h->s, session_one, last, &damaged), E_OK);
	return damaged;
}

static void a_session_comes_back_whole(void **state)
{
	struct house *h = *state;
	struct store_session *s, got;

	s = batch_session(h->b, 7)->session;
	*s = (struct store_session){.sid = 7,
				    .identity_id = 99,
				    .identity = SLICE_LIT("anna"),
				    .client_id = SLICE_LIT("c7"),
				    .username = SLICE_LIT("user"),
				    .cert_cn = SLICE_LIT("cn"),
				    .cert_san = SLICE_LIT("san"),
				    .listener = SLICE_LIT("mqtts"),
				    .addr = "0123456789abcde",
				    .tls = true,
				    .version = 5,
				    .kind = 3,
				    .expiry_s = UINT32_MAX,
				    .away_ms = 1,
				    .sent = 1ull << 40,
				    .created_ms = 2};
	s->addr[15] = 'f';
	s->will = (struct store_will){.m = {.topic = SLICE_LIT("will/topic"),
					    .props = SLICE_LIT("pp"),
					    .qos = 2,
					    .retain = true},
				      .delay_s = 30,
				      .expiry_s = 60,
				      .expires = true};
	house_commit(h);
	house_reopen(h);
	assert_int_equal(sessions_of(h, &got), 0);
	assert_int_equal(got.sid, 7);
	assert_int_equal(got.identity_id, 99);
	assert_int_equal(got.version, 5);
	assert_int_equal(got.kind, 3);
	assert_int_equal(got.expiry_s, UINT32_MAX);
	assert_int_equal(got.away_ms, 1);
	assert_true(got.sent == 1ull << 40);
	assert_int_equal(got.created_ms, 2);
	house_session(h, 7); /* without a will now */
	house_commit(h);
	house_reopen(h);
	assert_int_equal(house_stats(h).sessions, 1);
	(void)house_op(h, SO_SESSION_DEL, 7, 0);
	(void)house_op(h, SO_SESSION_DEL, 8, 0); /* is not there */
	house_commit(h);
	house_reopen(h);
	(void)sessions_of(h, &got);
	assert_int_equal(got.sid, 0);
}

static void a_will_goes_by_its_number(void **state)
{
	struct house *h = *state;
	struct store_session got;

	batch_session(h->b, 5)->session->will =
		(struct store_will){.m = {.number = 77, .topic = SLICE_LIT("w")}, .delay_s = 9};
	house_commit(h);
	(void)house_op(h, SO_WILL_DEL, 5, 76); /* another one's */
	(void)house_op(h, SO_WILL_DEL, 6, 77);
	house_commit(h);
	(void)sessions_of(h, &got);
	assert_int_equal(got.will.m.topic.n, 1);
	assert_int_equal(got.will.m.number, 77);
	(void)house_op(h, SO_WILL_DEL, 5, 77);
	house_commit(h);
	(void)sessions_of(h, &got);
	assert_int_equal(got.sid, 5);
	assert_int_equal(got.will.m.topic.n, 0);
	assert_true(got.client_id.n == 6);
	(void)house_op(h, SO_WILL_DEL, 5, 0);
	house_commit(h);
}

static bool stop_at_once(void *arg, const struct store_session *x)
{
	++*(u32 *)arg;
	return false;
}

static void a_walk_can_be_stopped(void **state)
{
	struct house *h = *state;
	u32 n = 0;
	u64 damaged;

	house_session(h, 1);
	house_session(h, 2);
	house_commit(h);
	house_reopen(h);
	assert_int_equal(store_each_session(h->s, stop_at_once, &n, &damaged), E_OK);
	assert_int_equal(n, 1);
}

struct subs {
	u32 n;
	char text[512];
};

static bool sub_one(void *arg, const struct store_sub *x)
{
	struct subs *s = arg;
	size_t n = strlen(s->text);

	s->n++;
	(void)snprintf(s->text + n, sizeof(s->text) - n, "%llu/%u %.*s %u q%u%s%s r%u;",
		       (unsigned long long)x->sid, x->sub, (int)x->filter.n,
		       (const char *)x->filter.p, x->id, x->qos, x->no_local ? " nl" : "",
		       x->retain_as_published ? " rap" : "", x->retain_handling);
	return true;
}

static void put_sub(struct house *h, u64 sid, u32 sub, const char *filter, u8 qos)
{
	struct store_op *op = house_op(h, SO_SUB_PUT, 0, 0);

	op->sub = store_batch_bytes(h->b, sizeof(*op->sub));
	*op->sub = (struct store_sub){.sid = sid,
				      .sub = sub,
				      .filter = slice_str(filter),
				      .id = sub * 10,
				      .qos = qos,
				      .no_local = sub == 1,
				      .retain_as_published = sub == 2,
				      .retain_handling = 1};
}

static void subscriptions_come_back_in_order(void **state)
{
	struct house *h = *state;
	struct subs s = {.n = 0};
	u64 damaged;

	house_session(h, 1);
	house_session(h, 2);
	put_sub(h, 2, 1, "$share/g/a", 1);
	put_sub(h, 1, 2, "b/#", 2);
	put_sub(h, 1, 1, "old", 0);
	put_sub(h, 1, 1, "new", 1);
	put_sub(h, 1, 3, "gone", 1);
	put_sub(h, 5, 1, "nobody's", 1);
	house_commit(h);
	(void)house_op(h, SO_SUB_DEL, 1, 3);
	(void)house_op(h, SO_SUB_DEL, 1, 33);
	house_commit(h);
	house_reopen(h);
	assert_int_equal(store_each_sub(h->s, sub_one, &s, &damaged), E_OK);
	assert_int_equal(damaged, 0);
	assert_string_equal(s.text,
			    "1/1 new 10 q1 nl r1;1/2 b/# 20 q2 rap r1;2/1 $share/g/a 10 q1 nl r1;");
}

static void a_queue_keeps_its_order(void **state)
{
	struct house *h = *state;

	house_session(h, 1);
	house_session(h, 2);
	(void)house_put(h, 1, 300, 0, "c");
	(void)house_put(h, 2, 1, 0, "other");
	(void)house_put(h, 1, 2, 0, "a");
	(void)house_put(h, 1, 256, 0, "b");
	(void)house_put(h, 3, 1, 0, "nobody's");
	house_commit(h);
	house_reopen(h);
	assert_string_equal(house_queue(h, 1), "2:a 256:b 300:c");
	(void)house_op(h, SO_QUEUE_DEL, 1, 256);
	(void)house_op(h, SO_QUEUE_DEL, 1, 77);
	(void)house_op(h, SO_QUEUE_DEL, 77, 1);
	house_commit(h);
	house_reopen(h);
	assert_string_equal(house_queue(h, 1), "2:a 300:c");
	assert_string_equal(house_queue(h, 2), "1:other");
	assert_string_equal(house_queue(h, 3), "");
	assert_int_equal(house_stats(h).queued, 3);
	assert_int_equal(house_stats(h).messages, 0);
}

static void an_entry_comes_back_whole(void **state)
{
	static const u32 ids[] = {3, 1, 268435455, 7};
	struct house *h = *state;
	const struct store_queued *q;

	house_session(h, 1);
	*house_put(h, 1, 9, 55, "")->queued =
		(struct store_queued){.sid = 1,
				      .seq = 9,
				      .qos = 2,
				      .retain = true,
				      .sub = 9,
				      .ids = ids,
				      .m = {.number = 55,
					    .topic = SLICE_LIT("a/b"),
					    .props = SLICE_LIT("props"),
					    .payload = SLICE_LIT("payload"),
					    .expires_ms = 1ull << 41,
					    .qos = 1,
					    .retain = false}};
	house_commit(h);
	house_reopen(h);
	(void)house_queue(h, 1);
	q = &h->read[0].queued[0];
	assert_int_equal(q->sid, 1);
	assert_int_equal(q->seq, 9);
	assert_int_equal(q->qos, 2);
	assert_int_equal(q->state, SQ_QUEUED);
	assert_true(q->retain && !q->m.retain);
	assert_int_equal(q->sub, 9);
	assert_memory_equal(q->ids, ids, sizeof(ids));
	assert_int_equal(q->m.number, 55);
	assert_true(q->m.expires_ms == 1ull << 41);
	assert_int_equal(q->m.qos, 1);
	assert_true(slice_eq(q->m.topic, SLICE_LIT("a/b")));
	assert_true(slice_eq(q->m.props, SLICE_LIT("props")));
	assert_true(slice_eq(q->m.payload, SLICE_LIT("payload")));
}

/* The same number twice in a transaction is one body; the last entry takes it with it. */
static void a_shared_message_is_stored_once(void **state)
{
	struct house *h = *state;

	for (u64 sid = 1; sid <= 4; sid++)
		house_session(h, sid);
	house_commit(h);
	for (u64 sid = 1; sid <= 3; sid++)
		(void)house_put(h, sid, 5, 1000, "shared");
	house_commit(h);
	house_reopen(h);
	assert_int_equal(house_stats(h).messages, 1);
	(void)house_put(h, 4, 5, 1000, "shared"); /* later and alone: its own copy */
	(void)house_op(h, SO_QUEUE_DEL, 1, 5);
	house_commit(h);
	assert_string_equal(house_queue(h, 1), "");
	assert_string_equal(house_queue(h, 2), "5:shared");
	assert_string_equal(house_queue(h, 4), "5:shared");
	(void)house_op(h, SO_QUEUE_DEL, 2, 5);
	house_commit(h);
	assert_int_equal(house_stats(h).messages, 1);
	(void)house_op(h, SO_QUEUE_DEL, 3, 5);
	(void)house_op(h, SO_QUEUE_DEL, 3, 5);
	house_commit(h);
	assert_int_equal(house_stats(h).messages, 0);
	assert_string_equal(house_queue(h, 4), "5:shared");
}

static void more_receivers_join_a_body_later(void **state)
{
	struct house *h = *state;

	for (u64 sid = 1; sid <= 4; sid++)
		house_session(h, sid);
	(void)house_put(h, 1, 1, 1000, "x");
	(void)house_put(h, 2, 1, 1000, "x");
	house_commit(h);
	(void)house_put(h, 3, 1, 1000, "x");
	(void)house_put(h, 4, 1, 1000, "x");
	(void)house_op(h, SO_QUEUE_DEL, 1, 1);
	house_commit(h);
	assert_int_equal(house_stats(h).messages, 1);
	for (u64 sid = 2; sid <= 3; sid++)
		(void)house_op(h, SO_QUEUE_DEL, sid, 1);
	house_commit(h);
	assert_string_equal(house_queue(h, 4), "1:x");
	(void)house_op(h, SO_SESSION_DEL, 4, 0);
	house_commit(h);
	assert_int_equal(house_stats(h).messages, 0);
}

static void a_body_that_nobody_needs_any_more_leaves_nothing(void **state)
{
	struct house *h = *state;

	house_session(h, 1);
	house_session(h, 2);
	(void)house_put(h, 1, 1, 1000, "x");
	(void)house_put(h, 2, 1, 1000, "x");
	(void)house_op(h, SO_QUEUE_DEL, 1, 1);
	(void)house_op(h, SO_QUEUE_DEL, 2, 1);
	house_commit(h);
	assert_int_equal(house_stats(h).messages, 0);
	/* Two that were to share, one of which has no session: a body with one who needs it. */
	(void)house_put(h, 1, 2, 1001, "y");
	(void)house_put(h, 9, 2, 1001, "y");
	house_commit(h);
	assert_string_equal(house_queue(h, 1), "2:y");
	(void)house_op(h, SO_QUEUE_DEL, 1, 2);
	house_commit(h);
	assert_int_equal(house_stats(h).messages, 0);
	assert_int_equal(house_stats(h).queued, 0);
}

static void a_sequence_put_twice_does_not_leak(void **state)
{
	struct house *h = *state;

	house_session(h, 1);
	house_session(h, 2);
	(void)house_put(h, 1, 1, 1000, "x");
	(void)house_put(h, 2, 1, 1000, "x");
	house_commit(h);
	(void)house_put(h, 1, 1, 0, "again");
	(void)house_op(h, SO_QUEUE_DEL, 2, 1);
	house_commit(h);
	assert_int_equal(house_stats(h).messages, 0);
	assert_string_equal(house_queue(h, 1), "1:again");
}

static void release_keeps_the_identifier(void **state)
{
	struct house *h = *state;

	house_session(h, 1);
	house_session(h, 2);
	(void)house_put(h, 1, 1, 1000, "x");
	(void)house_put(h, 2, 1, 1000, "x");
	(void)house_put(h, 1, 2, 0, "y");
	house_commit(h);
	(void)house_op(h, SO_QUEUE_RELEASE, 1, 1);
	(void)house_op(h, SO_QUEUE_RELEASE, 1, 2);
	(void)house_op(h, SO_QUEUE_RELEASE, 1, 3);
	(void)house_op(h, SO_QUEUE_RELEASE, 1, 2); /* once more changes nothing */
	(void)house_op(h, SO_QUEUE_DEL, 2, 1);
	house_commit(h);
	house_reopen(h);
	assert_string_equal(house_queue(h, 1), "1:released 2:released");
	assert_int_equal(h->read[0].queued[0].m.number, 0);
	assert_int_equal(house_stats(h).messages, 0);
	(void)house_op(h, SO_QUEUE_DEL, 1, 1);
	house_commit(h);
	assert_string_equal(house_queue(h, 1), "2:released");
}

static bool pid_one(void *arg, u64 sid, u16 pid)
{
	struct subs *s = arg;
	size_t n = strlen(s->text);

	(void)snprintf(s->text + n, sizeof(s->text) - n, "%llu/%u ", (unsigned long long)sid, pid);
	return true;
}

static void identifiers_come_back(void **state)
{
	struct house *h = *state;
	struct subs s = {.n = 0};

	house_session(h, 1);
	house_session(h, 2);
	(void)house_op(h, SO_PID_PUT, 2, 65535);
	(void)house_op(h, SO_PID_PUT, 2, 1);
	(void)house_op(h, SO_PID_PUT, 1, 10);
	(void)house_op(h, SO_PID_PUT, 1, 10);
	(void)house_op(h, SO_PID_PUT, 3, 10);
	house_commit(h);
	(void)house_op(h, SO_PID_DEL, 2, 1);
	(void)house_op(h, SO_PID_DEL, 2, 2);
	house_commit(h);
	house_reopen(h);
	assert_int_equal(store_each_pid(h->s, pid_one, &s), E_OK);
	assert_string_equal(s.text, "1/10 2/65535 ");
}

static void drops_add_up_and_outlive_changes(void **state)
{
	struct house *h = *state;
	struct store_session got;

	house_session(h, 1);
	house_op(h, SO_DROPPED, 1, DROP_QUOTA)->count = 2;
	house_op(h, SO_DROPPED, 1, DROP_QUOTA)->count = 3;
	house_op(h, SO_DROPPED, 1, DROP_DENIED)->count = UINT32_MAX;
	house_commit(h);
	house_op(h, SO_DROPPED, 1, DROP_DENIED)->count = 7;
	house_op(h, SO_DROPPED, 2, DROP_DENIED)->count = 7;
	house_session(h, 1);
	house_commit(h);
	house_reopen(h);
	(void)sessions_of(h, &got);
	assert_int_equal(got.dropped[DROP_QUOTA], 5);
	assert_int_equal(got.dropped[DROP_DENIED], UINT32_MAX);
	assert_int_equal(got.dropped[DROP_EXPIRED], 0);
}

static bool retained_one(void *arg, const struct store_retained *x)
{
	struct subs *s = arg;
	size_t n = strlen(s->text);

	assert_true(slice_eq(x->identity, SLICE_LIT("author")));
	assert_int_equal(x->identity_id, 4);
	assert_true(x->tls);
	(void)snprintf(s->text + n, sizeof(s->text) - n, "%llu=%.*s@%llu ",
		       (unsigned long long)x->number, (int)x->m.payload.n,
		       (const char *)x->m.payload.p, (unsigned long long)x->stored_ms);
	return true;
}

static void put_retained(struct house *h, u64 number, const char *payload)
{
	struct store_op *op = house_op(h, SO_RETAIN_PUT, 0, 0);

	op->retained = store_batch_bytes(h->b, sizeof(*op->retained));
	*op->retained = (struct store_retained){
		.number = number,
		.identity_id = 4,
		.identity = SLICE_LIT("author"),
		.tls = true,
		.stored_ms = number * 2,
		.m = {.topic = SLICE_LIT("t"), .payload = slice_str(payload), .retain = true}};
}

static void retained_values_come_back(void **state)
{
	struct house *h = *state;
	struct subs s = {.n = 0};
	u64 damaged;

	put_retained(h, 1, "one");
	put_retained(h, 2, "two");
	house_commit(h);
	put_retained(h, 3, "three");
	(void)house_op(h, SO_RETAIN_DEL, 1, 0);
	(void)house_op(h, SO_RETAIN_DEL, 9, 0);
	house_commit(h);
	house_reopen(h);
	assert_int_equal(store_each_retained(h->s, retained_one, &s, &damaged), E_OK);
	assert_int_equal(damaged, 0);
	assert_string_equal(s.text, "2=two@4 3=three@6 ");
}

static void reading_keeps_to_count_and_bytes(void **state)
{
	struct house *h = *state;
	struct store_op *op;

	house_session(h, 1);
	for (u64 seq = 1; seq <= 10; seq++)
		(void)house_put(h, 1, seq, 0, "123456789"); /* ten bytes with the topic */
	house_commit(h);
	house_read(h, 1, 3, 4);
	op = house_op(h, SO_READ, 1, 7);
	op->count = 100;
	op->bytes = 15;
	op->slot = 12;
	op->gen = 34;
	op = house_op(h, SO_READ, 1, 8);
	op->count = 2;
	op->bytes = 100;
	house_read(h, 1, 10, 4);
	house_read(h, 1, UINT64_MAX, 4);
	op = house_op(h, SO_READ, 1, 0); /* at least one */
	house_commit(h);
	assert_int_equal(h->nreads, 6);
	assert_int_equal(h->read[0].n, 4);
	assert_int_equal(h->read[0].queued[0].seq, 4);
	assert_int_equal(h->read[0].last, 7);
	assert_false(h->read[0].end);
	assert_int_equal(h->read[1].n, 2);
	assert_int_equal(h->read[1].slot, 12);
	assert_int_equal(h->read[1].gen, 34);
	assert_false(h->read[1].end);
	assert_int_equal(h->read[2].n, 2);
	assert_true(h->read[2].end);
	assert_int_equal(h->read[3].n, 0);
	assert_true(h->read[3].end);
	assert_true(h->read[4].end);
	assert_int_equal(h->read[5].n, 1);
}

static void reading_sees_its_own_transaction(void **state)
{
	struct house *h = *state;

	house_session(h, 1);
	(void)house_put(h, 1, 1, 70, "a");
	(void)house_put(h, 1, 2, 70, "a");
	house_read(h, 1, 0, 10);
	(void)house_op(h, SO_QUEUE_DEL, 1, 1);
	house_read(h, 1, 0, 10);
	house_commit(h);
	assert_int_equal(h->read[0].n, 2);
	assert_int_equal(h->read[1].n, 1);
	assert_true(slice_eq(h->read[1].queued[0].m.payload, SLICE_LIT("a")));
}

static void purging_takes_what_has_expired(void **state)
{
	struct house *h = *state;
	struct store_session got;
	u64 now = store_time(h->s, h->mono);
	struct store_op *op;

	house_session(h, 1);
	for (u64 seq = 1; seq <= 10; seq++)
		house_put(h, 1, seq, seq < 3 ? 50 : 0, "12")->queued->m.expires_ms =
			seq % 2 ? now + 100 : 0;
	house_put(h, 1, 11, 0, "12")->queued->m.expires_ms = now + 1000;
	house_commit(h);
	h->mono += 100;
	op = house_op(h, SO_PURGE, 1, 0);
	op->count = 4;
	op->slot = 5;
	house_commit(h);
	assert_true(h->read[0].purge);
	assert_int_equal(h->read[0].gone, 2);
	assert_int_equal(h->read[0].gone_bytes, 6);
	assert_int_equal(h->read[0].last, 4);
	assert_int_equal(h->read[0].slot, 5);
	assert_false(h->read[0].end);
	(void)house_op(h, SO_PURGE, 1, h->read[0].last);
	house_commit(h);
	assert_int_equal(h->read[0].gone, 3);
	assert_true(h->read[0].end);
	assert_string_equal(house_queue(h, 1), "2:12 4:12 6:12 8:12 10:12 11:12");
	house_reopen(h);
	(void)sessions_of(h, &got);
	assert_int_equal(got.dropped[DROP_EXPIRED], 5);
}

static void ending_a_session_takes_everything_with_it(void **state)
{
	struct house *h = *state;

	house_session(h, 1);
	house_session(h, 2);
	put_sub(h, 1, 1, "a", 1);
	put_sub(h, 2, 1, "a", 1);
	(void)house_op(h, SO_PID_PUT, 1, 5);
	house_op(h, SO_DROPPED, 1, DROP_QUOTA)->count = 1;
	(void)house_put(h, 1, 1, 0, "x");
	(void)house_put(h, 1, 2, 60, "y");
	(void)house_put(h, 2, 1, 60, "y");
	house_commit(h);
	(void)house_op(h, SO_SESSION_DEL, 1, 0);
	(void)house_put(h, 1, 3, 0, "too late");
	put_sub(h, 1, 2, "too late", 1);
	house_commit(h);
	assert_false(store_has_work(h->s));
	assert_int_equal(house_stats(h).sessions, 1);
	assert_int_equal(house_stats(h).subs, 1);
	assert_int_equal(house_stats(h).queued, 1);
	assert_int_equal(house_stats(h).messages, 1);
	assert_string_equal(house_queue(h, 2), "1:y");
}

/* More than one transaction deletes: it goes on later, and after a crash. */
static void a_large_session_ends_in_slices(void **state)
{
	enum { MANY = 3000 };
	struct house *h = *state;
	u32 steps = 0;

	house_session(h, 1);
	house_session(h, 2);
	for (u64 seq = 1; seq <= MANY; seq++)
		(void)house_put(h, 1, seq, 0, "x");
	(void)house_put(h, 2, 1, 0, "stays");
	house_commit(h);
	(void)house_op(h, SO_SESSION_DEL, 1, 0);
	house_commit(h);
	assert_true(store_has_work(h->s));
	assert_int_equal(house_stats(h).sessions, 1);
	assert_in_range(house_stats(h).queued, 1000, MANY);
	house_reopen(h);
	assert_true(store_has_work(h->s));
	assert_string_equal(house_queue(h, 2), "1:stays"); /* goes on meanwhile */
	while (store_has_work(h->s)) {
		house_commit(h);
		assert_in_range(++steps, 1, MANY / 100);
	}
	assert_int_equal(house_stats(h).queued, 1);
	house_reopen(h);
	assert_false(store_has_work(h->s));
}

/* ---- counting -------------------------------------------------------------------------------- */

static void count_one(void *arg, const struct store_count *c)
{
	struct subs *s = arg;
	size_t n = strlen(s->text);

	s->n++;
	(void)snprintf(s->text + n, sizeof(s->text) - n, "%llu:%u/%llu %llu-%llu;",
		       (unsigned long long)c->sid, c->messages, (unsigned long long)c->bytes,
		       (unsigned long long)c->first, (unsigned long long)c->last);
}

static void counts_are_of_what_was_there_at_the_start(void **state)
{
	struct house *h = *state;
	struct subs s = {.n = 0};
	u32 steps = 0;
	u64 after = 0;

	for (u64 sid = 1; sid <= 3; sid++)
		house_session(h, sid);
	for (u64 seq = 5; seq <= 10; seq++)
		(void)house_put(h, 1, seq, 0, "12");
	(void)house_put(h, 3, 1, 88, "1234");
	(void)house_put(h, 3, 2, 88, "1234");
	house_commit(h);
	house_reopen(h);
	(void)house_put(h, 2, store_sequence(store_epoch(h->s)) + 1, 0, "after the start");
	(void)house_op(h, SO_QUEUE_DEL, 1, 7); /* does not wait any more */
	house_session(h, store_number(store_epoch(h->s), 0, 1));
	house_commit(h);
	while (after != UINT64_MAX) {
		assert_int_equal(store_count_some(h->s, &after, 2, count_one, &s), E_OK);
		assert_in_range(++steps, 1, 20);
	}
	assert_in_range(steps, 4, 20);
	assert_string_equal(s.text, "1:5/15 5-10;2:0/0 0-0;3:2/10 1-2;");
}

/* ---- the frame ------------------------------------------------------------------------------- */

static void what_changes_nothing_writes_nothing(void **state)
{
	struct house *h = *state;
	u64 before;

	house_session(h, 1);
	house_commit(h);
	before = house_stats(h).commits;
	(void)house_op(h, SO_QUEUE_DEL, 1, 1);
	house_read(h, 1, 0, 1);
	(void)house_put(h, 2, 1, 0, "nobody's");
	(void)house_op(h, SO_NONE, 0, 0);
	house_commit(h);
	assert_int_equal(h->nreads, 1);
	assert_int_equal(house_stats(h).commits, before);
	house_commit(h); /* nothing at all: the clock */
	assert_int_equal(house_stats(h).commits, before + 1);
}

static void every_opening_has_an_epoch_of_its_own(void **state)
{
	struct house *h = *state;
	u64 first = store_epoch(h->s);

	house_reopen(h);
	assert_int_equal(store_epoch(h->s), first + 1);
	house_reopen(h);
	assert_int_equal(store_epoch(h->s), first + 2);
	assert_true(store_number(first, 1, 5) != store_number(first + 1, 1, 5));
}

static void the_clock_only_runs_forwards(void **state)
{
	struct house *h = *state;
	u64 t0 = store_time(h->s, h->mono);

	assert_int_equal(store_time(h->s, h->mono + 50), t0 + 50);
	assert_int_equal(store_time(h->s, h->mono - 50), t0);
	h->mono += 1000;
	h->wall -= 3600 * 1000; /* set back while it ran */
	house_commit(h);
	assert_int_equal(store_time(h->s, h->mono), t0 + 1000);
	if (h->kind == IN_MEMORY)
		return;
	h->wall += 500; /* away for half a second, by the wall clock as it is now */
	h->mono = 1;
	house_reopen(h);
	assert_int_equal(store_time(h->s, h->mono), t0 + 1500);
	h->wall = 0; /* starts in 1970: no time has passed that is known of */
	house_reopen(h);
	assert_int_equal(store_time(h->s, h->mono), t0 + 1500);
}

static void reading_from_a_crash_to_the_next(void **state)
{
	struct house *h = *state;
	u64 t0 = store_time(h->s, h->mono);

	house_session(h, 1);
	(void)house_put(h, 1, 1, 0, "kept");
	house_commit(h);
	(void)house_put(h, 1, 2, 0, "never committed");
	h->mono += 10;
	h->wall += 10;
	house_reopen(h);
	assert_int_equal(store_time(h->s, h->mono), t0 + 10);
	h->b->n = 0;
	assert_string_equal(house_queue(h, 1), "1:kept");
}

static void a_full_memory_refuses_what_grows(void **state)
{
	struct house *h = *state;

	if (h->kind != IN_MEMORY)
		return;
	house_session(h, 1);
	(void)house_put(h, 1, 1, 0, "x");
	house_commit(h);
	store_memory_full(h->s, true);
	assert_true(store_is_full(h->s, h->mono));
	(void)house_op(h, SO_QUEUE_DEL, 1, 1);
	(void)house_put(h, 1, 2, 0, "y");
	assert_int_equal(house_try(h), E_QUOTA);
	h->b->n = 0;
	assert_string_equal(house_queue(h, 1), "1:x"); /* nothing of it happened */
	(void)house_op(h, SO_QUEUE_DEL, 1, 1);
	house_commit(h);
	store_memory_full(h->s, false);
	(void)house_put(h, 1, 2, 0, "y");
	house_commit(h);
	assert_string_equal(house_queue(h, 1), "2:y");
}

static int setup(void **state, enum house_kind kind)
{
	struct house *h = malloc(sizeof(*h));

	house_make(h, kind);
	*state = h;
	return 0;
}

static int setup_memory(void **state)
{
	return setup(state, IN_MEMORY);
}

static int setup_disk(void **state)
{
	return setup(state, ON_DISK);
}

static int setup_sealed(void **state)
{
	return setup(state, SEALED);
}

static int teardown(void **state)
{
	house_free(*state);
	free(*state);
	return 0;
}

#define ON_ALL(f)                                                                                  \
	cmocka_unit_test_setup_teardown(f, setup_memory, teardown),                                \
		cmocka_unit_test_setup_teardown(f, setup_disk, teardown),                          \
		cmocka_unit_test_setup_teardown(f, setup_sealed, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(a_session_comes_back_whole),
		ON_ALL(a_will_goes_by_its_number),
		ON_ALL(a_walk_can_be_stopped),
		ON_ALL(subscriptions_come_back_in_order),
		ON_ALL(a_queue_keeps_its_order),
		ON_ALL(an_entry_comes_back_whole),
		ON_ALL(a_shared_message_is_stored_once),
		ON_ALL(more_receivers_join_a_body_later),
		ON_ALL(a_body_that_nobody_needs_any_more_leaves_nothing),
		ON_ALL(a_sequence_put_twice_does_not_leak),
		ON_ALL(release_keeps_the_identifier),
		ON_ALL(identifiers_come_back),
		ON_ALL(drops_add_up_and_outlive_changes),
		ON_ALL(retained_values_come_back),
		ON_ALL(reading_keeps_to_count_and_bytes),
		ON_ALL(reading_sees_its_own_transaction),
		ON_ALL(purging_takes_what_has_expired),
		ON_ALL(ending_a_session_takes_everything_with_it),
		ON_ALL(a_large_session_ends_in_slices),
		ON_ALL(counts_are_of_what_was_there_at_the_start),
		ON_ALL(what_changes_nothing_writes_nothing),
		ON_ALL(every_opening_has_an_epoch_of_its_own),
		ON_ALL(the_clock_only_runs_forwards),
		ON_ALL(reading_from_a_crash_to_the_next),
		ON_ALL(a_full_memory_refuses_what_grows),
	};
	return RUN_TESTS(tests);
}
