/* wheel: six levels of 64 slots; level l counts in units of 64^l ms.
 *
 * A timer sits at the level of the highest group of six bits in which its time differs from now, in
 * the slot that group names.  So level 0 holds what is due in the current 64 ms, everything above
 * is later, and a slot is looked at once when time enters it.  Level 5 is a ring: what is further
 * off than it reaches (two years) waits in its last slot and is placed again from there.
 *
 * wheel_advance first collects what is due, in order, and then fires it with now at its new value:
 * a timer that restarts itself runs once in a jump, however long. */
#include "base/wheel.h"

enum { SLOT_BITS = 6, TOP = WHEEL_LEVELS - 1, TOP_SHIFT = SLOT_BITS * TOP };
_Static_assert(1 << SLOT_BITS == WHEEL_SLOTS, "a slot number is one group of bits");

void wheel_init(struct wheel *w, u64 now_ms)
{
	*w = (struct wheel){.now_ms = now_ms};
}

static u32 group(u64 ms, u32 level)
{
	return (u32)(ms >> SLOT_BITS * level) % WHEEL_SLOTS;
}

static void timer_link(struct timer *t, struct timer **head)
{
	t->next = *head;
	t->prev = head;
	if (t->next != NULL)
		t->next->prev = &t->next;
	*head = t;
}

static void timer_unlink(struct timer *t)
{
	*t->prev = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	t->next = NULL;
	t->prev = NULL;
}

static void wheel_place(struct wheel *w, struct timer *t)
{
	u64 at = MAX(t->at_ms, w->now_ms);
	u64 differ = at ^ w->now_ms;
	u32 level = differ == 0 ? 0 : (63 - (u32)__builtin_clzll(differ)) / SLOT_BITS;
	u32 slot;

	if (level < TOP) {
		slot = group(at, level);
	} else {
		u64 ahead = (at >> TOP_SHIFT) - (w->now_ms >> TOP_SHIFT);
		level = TOP;
		slot = (u32)((w->now_ms >> TOP_SHIFT) + MIN(ahead, WHEEL_SLOTS - 1u)) % WHEEL_SLOTS;
	}
	timer_link(t, &w->slot[level][slot]);
	w->busy[level] |= 1ull << slot;
}

void timer_start(struct wheel *w, struct timer *t, u64 at_ms)
{
	ASSERT(t->fire != NULL);
	timer_stop(w, t);
	t->at_ms = at_ms;
	wheel_place(w, t);
	w->running++;
}

void timer_stop(struct wheel *w, struct timer *t)
{
	uintptr_t head;

	if (!timer_running(t))
		return;
	ASSERT(w->running > 0);
	/* prev is a slot's head for the first timer of a slot, and only then lies in the table. */
	head = (uintptr_t)t->prev - (uintptr_t)w->slot;
	timer_unlink(t);
	w->running--;
	if (head < sizeof(w->slot)) {
		size_t i = head / sizeof(struct timer *);
		if (w->slot[i / WHEEL_SLOTS][i % WHEEL_SLOTS] == NULL)
			w->busy[i / WHEEL_SLOTS] &= ~(1ull << i % WHEEL_SLOTS);
	}
}

/* Take the timers of a slot out as one list that begins at *list. */
static void slot_take(struct wheel *w, u32 level, u32 slot, struct timer **list)
{
	*list = w->slot[level][slot];
	if (*list != NULL)
		(*list)->prev = list;
	w->slot[level][slot] = NULL;
	w->busy[level] &= ~(1ull << slot);
}

/* Time has reached a place where slots begin: bring what they hold to lower levels. */
static void wheel_cascade(struct wheel *w)
{
	for (u32 level = TOP; level > 0; level--) {
		u32 slot = group(w->now_ms, level);
		struct timer *list, *t;

		if (!(w->busy[level] >> slot & 1))
			continue;
		slot_take(w, level, slot, &list);
		while ((t = list) != NULL) {
			timer_unlink(t);
			wheel_place(w, t);
		}
	}
}

u64 wheel_next(const struct wheel *w)
{
	u64 now = w->now_ms, bits = w->busy[0] >> group(now, 0);
	u32 top = (group(now, TOP) + 1) % WHEEL_SLOTS;

	if (bits != 0)
		return now + (u64)__builtin_ctzll(bits);
	for (u32 level = 1; level < TOP; level++) {
		u32 shift = SLOT_BITS * level;
		bits = w->busy[level] >> group(now, level);
		if (bits != 0)
			return ((now >> shift) + (u64)__builtin_ctzll(bits)) << shift;
	}
	bits = w->busy[TOP];
	if (bits == 0)
		return UINT64_MAX;
	bits = bits >> top | bits << (WHEEL_SLOTS - top) % WHEEL_SLOTS;
	return ((now >> TOP_SHIFT) + 1 + (u64)__builtin_ctzll(bits)) << TOP_SHIFT;
}

void wheel_advance(struct wheel *w, u64 now_ms)
{
	struct timer *due = NULL, **tail = &due, *t;

	ASSERT(now_ms >= w->now_ms);
	for (u64 next = wheel_next(w); next <= now_ms && w->running != 0; next = wheel_next(w)) {
		w->now_ms = next;
		wheel_cascade(w);
		slot_take(w, 0, group(next, 0), tail);
		while (*tail != NULL)
			tail = &(*tail)->next;
	}
	w->now_ms = now_ms;
	while ((t = due) != NULL) {
		timer_stop(w, t);
		t->fire(t);
	}
}
