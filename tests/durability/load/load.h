/* load: many MQTT clients in one thread that write down everything they see.
 *
 * It shares nothing with picket: packets are made and read by packet.c, written from the
 * specification.  Each session here is a client that keeps its own state as the specification asks
 * (packet identifiers, messages under way, what it received at QoS 2) over any number of
 * connections, so that whatever goes wrong in the end is the broker's doing.
 *
 * The program knows no right or wrong: it writes a history, and check.py judges it. */
#ifndef DURABILITY_LOAD_H
#define DURABILITY_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define NS_PER_MS 1000000ull

enum {
	WINDOW_MAX = 16, /* messages that a publisher has under way */
	WANT_MAX = 8,	 /* filters of a session */
	TOPIC_TEXT = 24,
	FILTER_TEXT = 40,
	PAYLOAD_MIN = 10, /* publisher, number, checksum */
	PAYLOAD_MAX = 64 << 10,
	PACKET_MAX = PAYLOAD_MAX + 256,
};

/* ---- the history (history.c) --------------------------------------------------------- */
/* What happened; check.py reads this table from here.  client and conn say whose it was; a to d as
 * in the comment. */
enum event {
	EV_OPEN = 1,	 /* CONNECT sent.  flags: 1 clean start; a expiry s; b version */
	EV_CONNACK = 2,	 /* flags: 1 session present, 2 and believed new; a reason */
	EV_CLOSED = 3,	 /* a: enum closed */
	EV_BYE = 4,	 /* DISCONNECT sent.  a reason */
	EV_SUB = 5,	 /* a filter; flags QoS */
	EV_SUBACK = 6,	 /* a filter; b reason */
	EV_UNSUB = 7,	 /* a filter */
	EV_UNSUBACK = 8, /* a filter; b reason */
	EV_PUB = 9,	 /* a number; b topic; c identifier; d bytes; flags below */
	EV_PUBACK = 10,	 /* a number; b reason */
	EV_PUBREC = 11,	 /* a number; b reason */
	EV_PUBCOMP = 12, /* a number; b reason */
	EV_RECV = 13,	 /* a number; b topic; c publisher << 16 | identifier; d bytes; flags */
	EV_PING = 14,	 /* PINGREQ sent */
	EV_PONG = 15,	 /* PINGRESP */
	EV_ODD = 16,	 /* an answer to nothing.  a packet type; b identifier */
	EV_KICKED = 17,	 /* DISCONNECT from the broker.  a reason */
	EV_WILL =
		18, /* announced with this connection.  a number; b topic; c delay ms; flags QoS */
	EV_PHASE = 19,	  /* a: enum phase; b: how many did not get there in time */
	EV_RELEASED = 20, /* PUBREL.  a identifier */
};
enum event_flag { /* of EV_PUB and EV_RECV, above the two bits of the QoS */
		  FLAG_DUP = 4,
		  FLAG_RETAIN = 8,
		  FLAG_AGAIN =
			  16, /* QoS 2: its identifier is one that was received and not released */
		  FLAG_BAD = 32,   /* the payload is not what anybody sent */
		  FLAG_CLASH = 64, /* QoS 2: that identifier belongs to another message */
		  FLAG_EMPTY = 128,
};
enum closed { CLOSED_BY_BROKER, CLOSED_RUDELY, CLOSED_AFTER_BYE, CLOSED_LATE, CLOSED_UNREACHED };
enum phase {
	PHASE_DRAIN = 1,
	PHASE_PUBLISHED,
	PHASE_BACK,
	PHASE_SENTINELS,
	PHASE_QUIET,
	PHASE_END
};

u64 now_ns(void);
void history_open(const char *path);
void history_header(const char *json);
void history_add(enum event kind, u32 client, u32 conn, u32 flags, u32 a, u32 b, u32 c, u32 d);
void history_close(void);

/* ---- packets (packet.c) -------------------------------------------------------------- */
struct buffer { /* owns its bytes */
	u8 *p;
	size_t n, cap;
};
void buffer_add(struct buffer *b, const void *p, size_t n);
void buffer_drop(struct buffer *b, size_t n); /* the first n */
void buffer_free(struct buffer *b);

struct connect_args {
	const char *client_id, *user, *password, *will_topic;
	const u8 *will;
	size_t will_n;
	u32 expiry_s, will_delay_s;
	u16 receive_max;
	u8 version, will_qos;
	bool clean;
};
struct publish_args {
	const char *topic;
	const u8 *payload;
	size_t n;
	u32 expiry_s; /* MQTT 5 only; 0: none */
	u16 pid;
	u8 version, qos;
	bool dup, retain;
};
void put_connect(struct buffer *b, const struct connect_args *a);
void put_publish(struct buffer *b, const struct publish_args *a);
void put_subscribe(struct buffer *b, u8 version, u16 pid, const char *filter, u8 qos);
void put_unsubscribe(struct buffer *b, u8 version, u16 pid, const char *filter);
void put_ack(struct buffer *b, u8 first, u16 pid); /* PUBACK, PUBREC, PUBREL, PUBCOMP */
void put_bye(struct buffer *b, u8 version, u8 reason);
void put_ping(struct buffer *b);

struct packet { /* views the buffer that it was read from */
	u8 type, flags, code;
	bool present;
	u16 pid, receive_max;
	const u8 *topic, *payload;
	size_t topic_n, n;
};
/* Bytes of the first packet in p, 0: not all there yet, SIZE_MAX: it breaks the rules. */
size_t packet_read(const u8 *p, size_t n, u8 version, struct packet *out);

/* The payload of message number seq of a publisher; its checksum covers the topic too. */
void payload_make(u8 *out, size_t n, u32 publisher, u32 seq, const char *topic);
bool payload_check(const struct packet *p, u32 *publisher, u32 *seq);

/* ---- who takes part (plan.c) --------------------------------------------------------- */
enum role {
	PUBLISHER,
	PLAIN,	 /* keeps its subscriptions for good */
	OVERLAP, /* the same, two filters that match the same topics */
	CHURN,	 /* subscribes and unsubscribes */
	CLEAN,	 /* a session that ends with its connection */
	SHARED,	 /* a member of a group */
	RESET,	 /* starts clean from time to time */
	SHORT,	 /* its session ends while it is away for long */
	WILL,
	WATCH, /* sees all wills */
	ENDER, /* says the last word to everybody */
	READER /* at the very end: what is retained */
};

struct topic {
	char text[TOPIC_TEXT];
};
struct filter {
	char text[FILTER_TEXT];
};
enum want_state { WANT_OFF, WANT_ASKED, WANT_ON, WANT_LEAVING };
struct want {
	u16 filter;
	u8 qos;
	enum want_state state;
	bool wanted;
};
struct flight {
	u32 seq, bytes;
	u16 topic, pid;
	u8 qos;
	bool retain, expires, received; /* received: PUBREC came */
};
struct held { /* received at QoS 2 and not released */
	u32 publisher, seq;
	u16 pid;
};

struct conn;
struct session {
	u16 id;
	enum role role;
	u8 version;
	u32 expiry_s;
	u32 window;
	struct want want[WANT_MAX];
	u32 nwant;
	u16 topics[16];
	u32 ntopics;
	/* kept over connections */
	struct flight flight[WINDOW_MAX];
	u32 nflight, seq;
	struct held *held;
	u32 nheld, held_cap;
	/* known: a CONNACK came; ended: the last word arrived; doubt: a CONNECT was not answered */
	bool known, ended, doubt;
	/* of the moment */
	struct conn *cur;
	u32 conns, opening, will_seq, will_delay_s;
	u64 wake_ns, act_ns;
	bool clean_next;
	u8 will_qos;
};

struct world {
	struct topic *topic;
	u32 ntopics, live0, nlive, shared0, nshared, retained0, nretained, will0, end0;
	struct filter *filter;
	u32 nfilters;
	struct session *session;
	u32 nsessions;
	u16 port;
	const char *user, *password;
	double rate;
	u32 bytes_max, expiring; /* of a hundred messages */
	u64 random;
	bool drain;
	u64 last_recv_ns, published, received;
};
extern struct world world;

void plan_make(u64 seed, u32 scale);
int topic_find(const u8 *p, size_t n); /* -1: none of ours */
u64 random_u64(void);
u32 random_below(u32 n);
u64 random_ns(u64 low_ms, u64 high_ms);

/* ---- connections (conn.c) ------------------------------------------------------------ */
enum conn_state { CONN_CONNECTING, CONN_ASKED, CONN_LIVE, CONN_WATCHED };
struct conn {
	int fd;
	struct session *s;
	u32 number;
	enum conn_state state;
	bool acked, clean, bye, dirty, wants_out, stalled;
	u16 receive_max;
	u64 deadline_ns, hold_ns, stall_ns;
	struct buffer in, out;
	struct conn *next;
};
void conn_start(void);
void conn_open(struct session *s);
void conn_close(struct conn *c, enum closed how); /* forgets c */
void conn_turn(int wait_ms);			  /* waits, reads, writes */
void conn_tick(u64 now);			  /* deadlines */
struct conn *conn_first(void);

/* ---- sessions (session.c) ------------------------------------------------------------ */
void session_opened(struct conn *c); /* the socket is connected */
bool session_packet(struct conn *c, const struct packet *p);
void session_gone(struct conn *c);
bool session_publish(struct session *s, u32 topic, u8 qos, bool retain, u32 bytes);
void session_settle(struct session *s); /* ask for what is wanted and not there */
void session_ping(struct conn *c);
void session_bye(struct conn *c, u8 reason);

/* ---- what they do (act.c, drain.c) --------------------------------------------------- */
void act_tick(u64 now);
void act_later(struct session *s, u64 now);
void act_storm(void);
bool drain_step(u64 now); /* true: done */

#endif
