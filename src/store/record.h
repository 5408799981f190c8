/* record: the structs of store.h to bytes and back, as format.h says.  Reading is total: whatever
 * the bytes are, the answer is a struct or E_CORRUPT. */
#ifndef PICKET_STORE_RECORD_H
#define PICKET_STORE_RECORD_H

#include "base/rd.h"
#include "base/wr.h"
#include "store/chunk.h"
#include "store/format.h"
#include "store/kv.h"
#include "store/seal.h"
#include "store/store.h"

/* Where a record stands: bound to it by checksum or seal. */
struct place {
	enum kv_db db;
	u64 a, b;
};
/* The key as stored, 8 or 16 bytes into out; returns how many. */
size_t place_key(const struct place *at, u8 out[16]);

/* The envelope.  seal: NULL for plain records. */
size_t record_size(const struct seal *seal, size_t fields);
/* Where in a record its fields are to be written before record_finish. */
size_t record_fields_at(const struct seal *seal);
/* record: record_size bytes, fields in place. */
void record_finish(struct seal *seal, const struct place *at, enum format_kind kind, u8 *record,
		   size_t fields);
/* Check, and open where it is sealed (into scratch); fields views raw or scratch.  E_CORRUPT. */
enum err record_open(const struct seal *seal, const struct place *at, struct slice raw,
		     struct store_chunk **scratch, u8 *kind, struct slice *fields) MUST;

/* The fields.  Writers take what their name says (const void * so that they fit one pointer). */
typedef void record_fields(struct wr *w, const void *thing);
record_fields fields_format, fields_state, fields_session, fields_sub, fields_queued, fields_ref,
	fields_body, fields_count, fields_nothing, fields_retained, fields_drops;

struct record_format {
	u32 version;
	u8 check[FORMAT_CHECK];
};
struct record_state {
	u64 epoch, store_ms, wall_ms;
	bool clean;
};
struct record_drops {
	u32 n[DROP_KINDS];
};
/* A queue record: when ref, m has its number and expiry only, and weight bytes. */
struct record_queued {
	struct store_queued q;
	bool ref;
	u32 weight;
};

/* All or E_CORRUPT; numbers that stand in the key are set by the caller.  Views of fields. */
enum err read_format(struct slice fields, struct record_format *out) MUST;
enum err read_state(struct slice fields, struct record_state *out) MUST;
enum err read_session(struct slice fields, struct store_session *out) MUST;
enum err read_sub(struct slice fields, struct store_sub *out) MUST;
/* kind tells QUEUED from QUEUED_REF; identifiers go to scratch. */
enum err read_queued(struct slice fields, u8 kind, struct store_chunk **scratch,
		     struct record_queued *out) MUST;
enum err read_body(struct slice fields, struct store_msg *out) MUST;
enum err read_count(struct slice fields, u32 *out) MUST;
enum err read_retained(struct slice fields, struct store_retained *out) MUST;
enum err read_drops(struct slice fields, struct record_drops *out) MUST;

static inline size_t msg_bytes(const struct store_msg *m)
{
	return m->topic.n + m->props.n + m->payload.n;
}

#endif
