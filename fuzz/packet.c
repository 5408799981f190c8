/* A stream of packets through every decoder.  The first byte says who speaks which version.  What
 * decodes must encode, decode again to the same meaning, and encode again to the same bytes. */
#include <stdlib.h>

#include "../tests/unit/wire/any.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct any *a, enum peer_side side)
{
	struct wr n = wr_count(), w, again;
	struct any b;

	any_encode(&n, a);
	/* Nothing decoded is too large to encode: our form is never longer than the peer's, but for
	 * the two-byte length that 3.x lets a peer stretch. */
	ASSERT(n.err == E_OK);
	w = wr_of(xmalloc(n.n), n.n);
	any_encode(&w, a);
	ASSERT(w.err == E_OK);
	ASSERT(w.n == n.n);
	ASSERT(any_decode(&b, a->v, side, wr_done(&w)) == E_OK);
	ASSERT(any_equal(a, &b));
	again = wr_of(xmalloc(n.n), n.n);
	any_encode(&again, &b);
	ASSERT(slice_eq(wr_done(&again), wr_done(&w)));
	free(again.p);
	free(w.p);
}

/* Decode from memory of its own, so that a sanitizer sees a read past the packet. */
static enum err one_packet(struct slice in, enum mqtt_version *v, enum peer_side side, size_t *used)
{
	struct frame f;
	enum err e = frame_peek(in, *v, 1 << 20, &f);
	struct any a;
	u8 *copy;

	if (e != E_OK)
		return e;
	*used = (size_t)f.header_len + f.body_len;
	if (in.n < *used)
		return E_MORE;
	copy = xmalloc(*used);
	memcpy(copy, in.p, *used);
	e = any_decode(&a, *v, side, slice_of(copy, *used));
	ASSERT(e != E_MORE);
	if (e == E_OK) {
		if (f.type == PKT_CONNECT)
			*v = a.v;
		check_round_trip(&a, side);
	}
	free(copy);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum mqtt_version versions[] = {MQTT_31, MQTT_311, MQTT_5, MQTT_5};
	struct slice in = slice_of(data, size);
	enum peer_side side;
	enum mqtt_version v;
	size_t used;

	if (size == 0)
		return 0;
	v = versions[data[0] & 3];
	side = data[0] & 4 ? FROM_SERVER : FROM_CLIENT;
	in = slice_skip(in, 1);
	while (in.n != 0 && one_packet(in, &v, side, &used) == E_OK)
		in = slice_skip(in, used);
	return 0;
}
