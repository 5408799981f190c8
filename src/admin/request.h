/* request: one HTTP request from its first byte to its answer, and what it asks of other processes
 * meanwhile.  The connection rests (MHD_suspend_connection) while a call is under way, so one
 * thread serves all. */
#ifndef PICKET_ADMIN_REQUEST_H
#define PICKET_ADMIN_REQUEST_H

#include <jansson.h>
#include <microhttpd.h>
#include <sys/queue.h>

#include "admin/route.h"
#include "base/wheel.h"
#include "conf/conf.h"
#include "ipc/child.h"
#include "ipc/codes.h"

enum {
	REQUEST_PARTS = 5,  /* answers that one request can gather */
	REQUEST_ASKS = 128, /* questions under way, all requests together */
	REQUEST_DEADLINE_MS = 30000,
	REQUEST_PATIENCE_MS = 30 * 60 * 1000, /* of what reads or writes a whole store */
	REQUEST_ANSWER_MAX = 64 << 20,	      /* largest answer taken from another process */
	REQUEST_CONNECTIONS = 64,
};

/* One answer of another process. */
struct part {
	enum err err; /* E_UNAVAILABLE until it has come */
	bool asked;
	u8 *data; /* tail or memfd, owned */
	size_t n;
	int fd; /* -1, or the descriptor of a log; owned */
	union {
		struct m_sup_reply sup;
		struct m_stats stats;
		struct m_kicked kicked;
		struct m_rows rows;
		struct m_store_told store;
		struct m_page page;
		struct m_dropped dropped;
	} body;
};

#define REQUEST_MAGIC 0x4e905e57u
struct request {
	u32 magic;
	struct api *api;
	struct MHD_Connection *conn;
	const struct route *route;
	enum authority who;
	u32 uid;
	u8 *body;
	size_t body_len;
	bool begun, ended, resting; /* begun: its upload; ended: all of it has come */
	u32 waiting;
	struct part part[REQUEST_PARTS];
	void (*done)(struct request *r); /* all parts are there, or the deadline passed */
	void (*gone)(struct request *r); /* NULL, or: it ends without what done would have done */
	u64 deadline_ms;		 /* for the answers; 0: the usual */
	u64 cursor;			 /* of pages: the next one */
	int sink;			 /* of an upload: where it is written; -1 */
	struct timer deadline;
	unsigned status; /* 0: no answer yet */
	const char *type;
	u8 *out;
	size_t out_len;
	struct stream *stream;
	LIST_ENTRY(request) next;
};

struct ask {
	u64 id;
	struct request *r; /* NULL: free */
	u32 part;
	enum role from;
};

struct api {
	struct child *child; /* NULL: before the first message and after the loop's end */
	struct MHD_Daemon *http;
	struct authority_rules rules;
	struct conf conf;
	bool have_conf;
	int socket;
	u64 last_id;
	struct ask ask[REQUEST_ASKS];
	LIST_HEAD(, request) requests;
	LIST_HEAD(, stream) streams;
	struct timer turn; /* when MHD wants to run again */
};

/* ---- for handlers ---- */
void api_timer_start(struct api *a, struct timer *t, u64 in_ms);
void api_timer_stop(struct api *a, struct timer *t); /* also when the loop is gone */
/* Ask a process; its answer fills part.  A failure fills the part with the reason at once. */
void request_ask(struct request *r, u32 part, enum role to, enum ipc_type type, const void *body,
		 struct slice tail, int fd);
/* The same part once more; what it held is gone. */
void request_part_again(struct request *r, u32 part);
/* Answer.  request_json takes value; request_text copies; status is HTTP's. */
void request_json(struct request *r, unsigned status, json_t *value);
void request_text(struct request *r, const char *type, struct slice text);
/* An error of the table in codes.def; detail (ours or escaped, may be NULL) is added to its text.
 */
void request_refuse(struct request *r, unsigned status, u32 code, const char *detail);
/* The refusal for a process that did not answer, or answered err. */
void request_refuse_part(struct request *r, u32 part, const char *process);
/* The body as a JSON object (borrowed reference owned by the caller); answers 400 and returns NULL
 * otherwise. */
json_t *request_object(struct request *r);
/* The query argument, or NULL.  Views the request. */
const char *request_query(struct request *r, const char *name);
/* Who did that; and, quoted, to whom or what (NULL: nothing). */
void request_log(const struct request *r, const char *op, const char *to);

/* Let a resting connection go on: MHD runs again in this turn of the loop. */
void request_resume(struct api *a, struct MHD_Connection *conn);

/* ---- for admin.c ---- */
bool request_answer_arrived(struct api *a, enum role from, struct ipc_msg *m);
/* A link is new: what was asked of its old peer gets no answer. */
void request_peer_lost(struct api *a, enum role peer);
enum err request_serve(struct api *a) MUST; /* start MHD on api.socket */
void request_stop(struct api *a);

#endif
