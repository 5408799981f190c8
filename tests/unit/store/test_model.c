/* Random operations on each kind of store beside a model of plain arrays, with crashes and openings
 * in between: what was committed is there, what was not is not, and every count is right. */
#include <stdio.h>
#include <stdlib.h>

#include "help.h"

enum { SIDS = 6, SEQS = 40, PIDS = 5, SUBS = 4, RETAINED = 8, STEPS = 1500, TEXT = 12000 };

struct model {
	bool session[SIDS], sub[SIDS][SUBS], pid[SIDS][PIDS];
	u32 queued[SIDS][SEQS]; /* 0: not there, 1: released, else the number of its text */
	u32 dropped[SIDS];
	u32 retained[RETAINED];
};

static u64 seed;
static u32 text_no; /* no text comes twice */

static u32 below(u32 n)
{
	return (u32)(test_rand(&seed) % n);
}

/* Mostly short; some that need pages of their own. */
static void put_text(char out[TEXT], u32 text)
{
	u32 n = text % 16 == 0 ? text % 11000 : text % 300;

	n += (u32)snprintf(out, TEXT, "message %u ", text);
	memset(out + strlen(out), '.', n - strlen(out));
	out[n] = 0;
}

/* A message to one session or to several. */
static void publish(struct house *h, struct model *m)
{
	u32 text = 2 + text_no++, seq = below(SEQS);
	u64 number = below(3) ? 1000 + text : 0;
	char payload[TEXT];

	put_text(payload, text);
	for (u32 sid = 0; sid < SIDS; sid++) {
		if (below(2))
			continue;
		(void)house_put(h, sid + 1, seq + 1, number, payload);
		if (m->session[sid])
			m->queued[sid][seq] = text;
	}
}

static void end_session(struct model *m, u32 sid)
{
	m->session[sid] = false;
	m->dropped[sid] = 0;
	memset(m->sub[sid], 0, sizeof(m->sub[sid]));
	memset(m->pid[sid], 0, sizeof(m->pid[sid]));
	memset(m->queued[sid], 0, sizeof(m->queued[sid]));
}

static void put_sub(struct house *h, u32 sid, u32 sub)
{
	struct store_op *op = house_op(h, SO_SUB_PUT, 0, 0);

	op->sub = store_batch_bytes(h->b, sizeof(*op->sub));
	*op->sub = (struct store_sub){.sid = sid + 1, .sub = sub, .filter = SLICE_LIT("f")};
}

static void put_retained(struct house *h, u32 number, u32 text)
{
	struct store_op *op = house_op(h, SO_RETAIN_PUT, 0, 0);
	char payload[TEXT];

	put_text(payload, text);
	op->retained = store_batch_bytes(h->b, sizeof(*op->retained));
	*op->retained = (struct store_retained){
		.number = number + 1,
		.m = {.topic = SLICE_LIT("r"),
		      .payload = store_batch_copy(h->b, slice_str(payload))}};
}

static void random_op(struct house *h, struct model *m)
{
	u32 sid = below(SIDS), seq = below(SEQS), i = below(4);

	switch (below(12)) {
	case 0:
		house_session(h, sid + 1);
		m->session[sid] = true;
		break;
	case 1:
		if (below(4))
			break;
		(void)house_op(h, SO_SESSION_DEL, sid + 1, 0);
		end_session(m, sid);
		break;
	case 2:
	case 3:
		publish(h, m);
		break;
	case 4:
	case 5:
	case 6:
		(void)house_op(h, SO_QUEUE_DEL, sid + 1, seq + 1);
		m->queued[sid][seq] = 0;
		break;
	case 7:
		(void)house_op(h, SO_QUEUE_RELEASE, sid + 1, seq + 1);
		m->queued[sid][seq] = m->queued[sid][seq] != 0;
		break;
	case 8:
		put_sub(h, sid, i % SUBS);
		m->sub[sid][i % SUBS] |= m->session[sid];
		break;
	case 9:
		(void)house_op(h, i % 2 ? SO_PID_PUT : SO_PID_DEL, sid + 1, i + 1);
		m->pid[sid][i] = i % 2 && (m->pid[sid][i] || m->session[sid]);
		break;
	case 10:
		house_op(h, SO_DROPPED, sid + 1, DROP_QUOTA)->count = i;
		m->dropped[sid] += m->session[sid] ? i : 0;
		break;
	default:
		if (i != 0)
			put_retained(h, seq % RETAINED, 2 + text_no);
		else
			(void)house_op(h, SO_RETAIN_DEL, seq % RETAINED + 1, 0);
		m->retained[seq % RETAINED] = i != 0 ? 2 + text_no++ : 0;
	}
}

/* ---- comparing ------------------------------------------------------------------------------- */

struct seen {
	const struct model *m;
	u32 n;
};

static bool see_session(void *arg, const struct store_session *x)
{
	struct seen *s = arg;

	assert_true(s->m->session[x->sid - 1]);
	assert_int_equal(x->dropped[DROP_QUOTA], s->m->dropped[x->sid - 1]);
	s->n++;
	return true;
}

static bool see_sub(void *arg, const struct store_sub *x)
{
	struct seen *s = arg;

	assert_true(s->m->sub[x->sid - 1][x->sub]);
	s->n++;
	return true;
}

static bool see_pid(void *arg, u64 sid, u16 pid)
{
	struct seen *s = arg;

	assert_true(s->m->pid[sid - 1][pid - 1]);
	s->n++;
	return true;
}

static bool see_retained(void *arg, const struct store_retained *x)
{
	struct seen *s = arg;
	char want[TEXT];

	put_text(want, s->m->retained[x->number - 1]);
	assert_true(slice_eq(x->m.payload, slice_str(want)));
	s->n++;
	return true;
}

static void compare_queue(struct house *h, const struct model *m, u32 sid)
{
	static char want[SEQS * TEXT], text[TEXT];
	size_t n = 0;

	want[0] = 0;

	for (u32 seq = 0; seq < SEQS; seq++) {
		if (m->queued[sid][seq] == 0)
			continue;
		put_text(text, m->queued[sid][seq]);
		n += (size_t)snprintf(want + n, sizeof(want) - n, "%s%u:%s", n ? " " : "", seq + 1,
				      m->queued[sid][seq] == 1 ? "released" : text);
	}
	assert_string_equal(house_queue(h, sid + 1), want);
}

static bool problem(void *arg, const char *text)
{
	fail_msg("%s", text);
	return false;
}

static void compare(struct house *h, const struct model *m)
{
	const struct store_witness w = {NULL, problem};
	struct seen s = {m, 0};
	struct store_report r;
	u32 want[4] = {0};
	u64 damaged = 0;

	for (u32 sid = 0; sid < SIDS; sid++) {
		want[0] += m->session[sid];
		for (u32 i = 0; i < SUBS; i++)
			want[1] += m->sub[sid][i];
		for (u32 i = 0; i < PIDS; i++)
			want[2] += m->pid[sid][i];
	}
	for (u32 i = 0; i < RETAINED; i++)
		want[3] += m->retained[i] != 0;
	assert_int_equal(store_each_session(h->s, see_session, &s, &damaged), E_OK);
	assert_int_equal(s.n, want[0]);
	s.n = 0;
	assert_int_equal(store_each_sub(h->s, see_sub, &s, &damaged), E_OK);
	assert_int_equal(s.n, want[1]);
	s.n = 0;
	assert_int_equal(store_each_pid(h->s, see_pid, &s), E_OK);
	assert_int_equal(s.n, want[2]);
	s.n = 0;
	assert_int_equal(store_each_retained(h->s, see_retained, &s, &damaged), E_OK);
	assert_int_equal(s.n, want[3]);
	for (u32 sid = 0; sid < SIDS; sid++)
		compare_queue(h, m, sid);
	assert_int_equal(store_verify(h->s, &w, &r), E_OK);
	assert_int_equal(r.damaged + r.orphans + r.lost + r.miscount + damaged, 0);
}

static void random_run(enum house_kind kind)
{
	struct house h;
	struct model m = {{0}}, committed;

	house_make(&h, kind);
	committed = m;
	for (u32 step = 0; step < STEPS; step++) {
		for (u32 n = 1 + below(8); n > 0; n--)
			random_op(&h, &m);
		if (below(10) == 0) { /* a crash before the commit */
			house_reopen(&h);
			h.b->n = 0;
			m = committed;
		} else {
			house_commit(&h);
			committed = m;
		}
		if (step % 20 == 0)
			compare(&h, &m);
	}
	compare(&h, &m);
	house_free(&h);
}

static void in_memory(void **state)
{
	for (seed = 1; seed < 2000000; seed += 300000)
		random_run(IN_MEMORY);
}

static void on_disk(void **state)
{
	seed = 42;
	random_run(ON_DISK);
}

static void sealed(void **state)
{
	seed = 43;
	random_run(SEALED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_memory),
		cmocka_unit_test(on_disk),
		cmocka_unit_test(sealed),
	};
	return RUN_TESTS(tests);
}
