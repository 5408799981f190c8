/* quirk: what sloppy clients do that harms nobody.  Counted and shown, not punished.
 *
 * One table: the name is what JSON and the manual say, the text is for people. */
#ifndef PICKET_BASE_QUIRK_H
#define PICKET_BASE_QUIRK_H

#include "base/base.h"

#define QUIRK_TABLE(X)                                                                             \
	X(protocol_31, "speaks MQTT 3.1 (MQIsdp), which 3.1.1 replaced in 2014")                   \
	X(client_id_empty,                                                                         \
	  "MQTT 3.1.1 without a client id: nobody can tell one visit from another")                \
	X(keep_alive_zero, "keep alive 0: that it has gone shows when TCP gives up")               \
	X(keep_alive_late,                                                                         \
	  "silent for longer than its keep alive, though not yet half as long again")              \
	X(ping_often, "PINGREQ again within a tenth of its keep alive")                            \
	X(no_disconnect, "closed its connection without DISCONNECT")                               \
	X(reconnect_open,                                                                          \
	  "connected while its older connection was open; or two share a client id")               \
	X(dup_new, "PUBLISH with DUP in a new session, where nothing can have been sent before")   \
	X(dup_missing, "QoS 2 PUBLISH with an identifier that is in use, and without DUP")         \
	X(window_large, "MQTT 3: more QoS 2 messages unreleased than MQTT 5 would be granted")     \
	X(ack_unknown, "PUBACK, PUBREC or PUBCOMP for an identifier that is not in use")           \
	X(release_unknown, "PUBREL for an identifier that is not in use")                          \
	X(unsubscribe_unknown, "UNSUBSCRIBE of a filter that it never had")                        \
	X(length_padded, "MQTT 3: Remaining Length in more bytes than it needs")

#define X(name, text) QUIRK_##name,
enum quirk { QUIRK_TABLE(X) QUIRK_N };
#undef X
_Static_assert(QUIRK_N <= 32, "a set of them is 32 bits");

/* Static strings. */
const char *quirk_name(enum quirk q);
const char *quirk_text(enum quirk q);
/* The one of that name, or QUIRK_N. */
enum quirk quirk_find(const char *name);

#endif
