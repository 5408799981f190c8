/* err: every way a fallible function can fail, its text and its MQTT 5 reason code, in one table.
 *
 * E_OK is 0 everywhere.  The reason column is what a client of MQTT 5 sees (section 2.4 of the
 * specification); 0x80 where no closer code exists. */
#ifndef PICKET_BASE_ERR_H
#define PICKET_BASE_ERR_H

#include "base/base.h"

#define ERR_TABLE(X) /* name, MQTT 5 reason code, closed-vocabulary word for logs, text */         \
	X(OK, 0x00, "ok", "ok")                                                                    \
	X(MORE, 0x80, "incomplete", "more bytes are needed")                                       \
	X(SHORT, 0x81, "malformed", "a field is cut short")                                        \
	X(MALFORM, 0x81, "malformed", "malformed packet")                                          \
	X(PROTO, 0x82, "protocol_error", "packet or property not allowed here")                    \
	X(VERSION, 0x84, "protocol_version", "unsupported protocol version")                       \
	X(CLIENT_ID, 0x85, "client_id_invalid", "client id not valid for this identity")           \
	X(CREDENTIAL, 0x87, "auth_failed", "the credential was refused")                           \
	X(DENIED, 0x87, "denied", "no rule allows this")                                           \
	X(UNAVAILABLE, 0x88, "unavailable", "the server cannot answer now")                        \
	X(BUSY, 0x89, "busy", "the server is busy")                                                \
	X(BANNED, 0x8a, "banned", "banned")                                                        \
	X(SHUTDOWN, 0x8b, "shutdown", "the server is shutting down")                               \
	X(AUTH_METHOD, 0x8c, "auth_method", "authentication method not supported")                 \
	X(KEEPALIVE, 0x8d, "keepalive_timeout", "nothing heard for 1.5 times the keep alive")      \
	X(TAKEN_OVER, 0x8e, "taken_over", "the same client connected again")                       \
	X(FILTER, 0x8f, "filter_invalid", "topic filter not valid")                                \
	X(TOPIC, 0x90, "topic_invalid", "topic name not valid")                                    \
	X(ID_IN_USE, 0x91, "packet_id_in_use", "packet identifier in use")                         \
	X(ID_UNKNOWN, 0x92, "packet_id_unknown", "packet identifier not found")                    \
	X(RECEIVE_MAX, 0x93, "receive_maximum", "more unacknowledged messages than agreed")        \
	X(ALIAS, 0x94, "topic_alias", "topic alias not valid")                                     \
	X(TOO_LARGE, 0x95, "packet_too_large", "packet larger than allowed")                       \
	X(RATE, 0x96, "rate", "message rate too high")                                             \
	X(QUOTA, 0x97, "quota", "a limit is reached")                                              \
	X(ADMIN, 0x98, "administrative_action", "closed by an operator")                           \
	X(REVOKED, 0x98, "revoked", "the identity was revoked")                                    \
	X(NO_RETAIN, 0x9a, "retain_unsupported", "nothing is retained for this identity")          \
	X(WEBSOCKET, 0x82, "websocket", "a frame against the rules of WebSocket")                  \
	X(QOS, 0x9b, "qos_unsupported", "QoS above what is offered here")                          \
	X(NO_SHARED, 0x9e, "shared_unsupported", "no shared subscriptions are offered here")       \
	X(NO_SUB_ID, 0xa1, "subscription_id_unsupported",                                          \
	  "no subscription identifiers are offered here")                                          \
	X(NO_WILDCARD, 0xa2, "wildcard_unsupported", "no wildcards are offered here")              \
	X(TIMEOUT, 0x80, "deadline", "a deadline passed")                                          \
	X(TLS, 0x80, "tls", "the TLS handshake failed")                                            \
	X(EOF, 0x80, "closed", "the peer closed the connection")                                   \
	X(IO, 0x80, "io", "input or output failed")                                                \
	X(NOMEM, 0x97, "memory", "out of memory")                                                  \
	X(NOT_FOUND, 0x80, "not_found", "no such thing")                                           \
	X(EXISTS, 0x80, "exists", "it exists already")                                             \
	X(SYNTAX, 0x80, "syntax", "the text does not parse")                                       \
	X(CONFIG, 0x80, "config", "the configuration is not valid")                                \
	X(IPC, 0x80, "ipc", "a message between processes broke the rules")                         \
	X(STATE, 0x80, "state", "not possible in this state")                                      \
	X(UTF8, 0x81, "malformed", "a string is not well-formed UTF-8")                            \
	X(RANGE, 0x80, "range", "a number is out of range")                                        \
	X(CORRUPT, 0x80, "corrupt", "stored data is damaged")

#define X(name, reason, word, text) E_##name,
enum err { ERR_TABLE(X) E_N };
#undef X

/* The text for people, the word for logs, the MQTT 5 reason code.  Static strings; total. */
const char *err_text(enum err e);
const char *err_word(enum err e);
u8 err_reason(enum err e);

#endif
