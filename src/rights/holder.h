/* holder: the table of placeholders, and filters as written: levels of literal parts and
 * placeholders. Internal to rights. */
#ifndef PICKET_RIGHTS_HOLDER_H
#define PICKET_RIGHTS_HOLDER_H

#include "base/base.h"

#define HOLDER_TABLE(X) /* name in the enum, as written, field of struct subject */                \
	X(DEVICE, "device", device)                                                                \
	X(CLIENT_ID, "clientid", client_id)                                                        \
	X(USERNAME, "username", username)                                                          \
	X(CERT_CN, "cert.cn", cert_cn)                                                             \
	X(CERT_SAN, "cert.san", cert_san)                                                          \
	X(GROUP, "group", group)

#define X(name, word, field) PART_##name,
enum part_kind { PART_LITERAL, HOLDER_TABLE(X) PART_CLAIM, PART_N };
#undef X

struct part {
	enum part_kind kind;
	struct slice s; /* the literal, or NAME of a claim */
};

/* The next part of a filter as written (or of one level of it), from *at on; false at its end.  A
 * "${" that is no known placeholder is PART_N, s being what stands in the braces (or all the rest
 * when it is not closed). */
bool part_next(struct slice text, size_t *at, struct part *out);
/* All words that may stand in ${…}, NULL at the end; "claim.NAME" stands for all claims. */
extern const char *const holder_words[];

#endif
