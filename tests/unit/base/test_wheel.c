#include "base/wheel.h"
#include "test.h"

enum { TIMERS = 300 };

struct probe {
	struct timer t;
	bool on;
	u64 due;
	u32 fired;
};

static struct wheel w;
static struct probe probes[TIMERS];
static u64 last_at; /* of what fired before in this advance */

static void probe_fire(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, t);

	assert_false(timer_running(t));
	assert_true(p->on);
	assert_true(p->due <= w.now_ms);
	assert_true(t->at_ms >= last_at);
	last_at = t->at_ms;
	p->on = false;
	p->fired++;
}

static void reset(u64 now)
{
	wheel_init(&w, now);
	for (u32 i = 0; i < TIMERS; i++)
		probes[i] = (struct probe){.t.fire = probe_fire};
}

static void start(struct probe *p, u64 at)
{
	timer_start(&w, &p->t, at);
	p->on = true;
	p->due = at;
}

static void stop(struct probe *p)
{
	timer_stop(&w, &p->t);
	p->on = false;
}

/* Everything due has fired, nothing else has, and the next wake-up is not late. */
static void check(void)
{
	u64 first = UINT64_MAX;
	u32 running = 0;

	for (u32 i = 0; i < TIMERS; i++) {
		const struct probe *p = &probes[i];
		assert_int_equal(timer_running(&p->t), p->on);
		if (!p->on)
			continue;
		running++;
		assert_true(p->due > w.now_ms);
		first = MIN(first, p->due);
	}
	assert_int_equal(w.running, running);
	assert_true(wheel_next(&w) <= first);
	assert_true(wheel_next(&w) > w.now_ms);
	if (running == 0)
		assert_true(wheel_next(&w) == UINT64_MAX);
}

static void advance(u64 to)
{
	last_at = 0;
	wheel_advance(&w, to);
	assert_true(w.now_ms == to);
	check();
}

/* A number whose size is random too, so that every level is met. */
static u64 rand_span(u64 *rnd)
{
	return test_rand(rnd) >> (24 + test_rand(rnd) % 40);
}

static void agrees_with_a_list(void **state)
{
	u64 rnd = 42;

	for (u32 round = 0; round < 30; round++) {
		reset(round < 10 ? round * 63 : test_rand(&rnd) >> (4 + round));
		for (u32 step = 0; step < 3000; step++) {
			struct probe *p = &probes[test_rand(&rnd) % TIMERS];
			switch (test_rand(&rnd) % 8) {
			case 0:
				stop(p);
				break;
			case 1:
				advance(w.now_ms + rand_span(&rnd));
				break;
			case 2:
				advance(w.now_ms + test_rand(&rnd) % 70);
				break;
			default:
				start(p, w.now_ms + 1 + rand_span(&rnd));
			}
		}
		advance(w.now_ms + (1ull << 42));
	}
}

/* Following wheel_next alone, as an event loop does, fires each timer at exactly its time. */
static void next_leads_to_every_timer(void **state)
{
	u64 rnd = 5;

	reset(123456789);
	for (u32 i = 0; i < TIMERS; i++)
		start(&probes[i], w.now_ms + 1 + rand_span(&rnd) % (1ull << 38));
	for (u64 next; (next = wheel_next(&w)) != UINT64_MAX;) {
		advance(next);
		for (u32 i = 0; i < TIMERS; i++) {
			if (probes[i].fired == 1)
				assert_true(probes[i].due == next);
			probes[i].fired = 0;
		}
	}
	assert_int_equal(w.running, 0);
}

static void past_and_present_fire_at_once(void **state)
{
	reset(1000);
	start(&probes[0], 1000);
	start(&probes[1], 3);
	assert_true(wheel_next(&w) == 1000);
	advance(1000);
	assert_int_equal(probes[0].fired, 1);
	assert_int_equal(probes[1].fired, 1);
}

static void restart_moves(void **state)
{
	reset(0);
	start(&probes[0], 10);
	start(&probes[0], 5000);
	advance(20);
	assert_int_equal(probes[0].fired, 0);
	advance(5000);
	assert_int_equal(probes[0].fired, 1);
}

static void never_is_far_enough(void **state)
{
	reset(77);
	start(&probes[0], UINT64_MAX);
	advance(1ull << 45);
	assert_int_equal(probes[0].fired, 0);
	stop(&probes[0]);
	check();
}

static void fire_again(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, t);

	p->fired++;
	timer_start(&w, t, w.now_ms + 10);
}

static void a_jump_fires_a_periodic_timer_once(void **state)
{
	reset(0);
	probes[0].t.fire = fire_again;
	timer_start(&w, &probes[0].t, 10);
	wheel_advance(&w, 1000000);
	assert_int_equal(probes[0].fired, 1);
	assert_true(probes[0].t.at_ms == 1000010);
	timer_stop(&w, &probes[0].t);
}

static void fire_and_stop_the_next(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, t);

	p->fired++;
	timer_stop(&w, &p[1].t);
}

static void a_due_timer_can_be_stopped_by_an_earlier_one(void **state)
{
	reset(0);
	probes[0].t.fire = fire_and_stop_the_next;
	start(&probes[0], 10);
	start(&probes[1], 11);
	start(&probes[2], 12);
	probes[1].on = false;
	last_at = 0;
	wheel_advance(&w, 100);
	assert_int_equal(probes[0].fired, 1);
	assert_int_equal(probes[1].fired, 0);
	assert_int_equal(probes[2].fired, 1);
	assert_int_equal(w.running, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_list),
		cmocka_unit_test(next_leads_to_every_timer),
		cmocka_unit_test(past_and_present_fire_at_once),
		cmocka_unit_test(restart_moves),
		cmocka_unit_test(never_is_far_enough),
		cmocka_unit_test(a_jump_fires_a_periodic_timer_once),
		cmocka_unit_test(a_due_timer_can_be_stopped_by_an_earlier_one),
	};

	return RUN_TESTS(tests);
}
