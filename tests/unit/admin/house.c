/* house: see house.h.  The answers hold hostile bytes where a client could have put them. */
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "house.h"

const char house_ca_pem[] = "-----BEGIN CERTIFICATE-----\n"
			    "MIIBtzCCAV2gAwIBAgIUSEhyQSSSU6zigbTt7xedAGM4SU0wCgYIKoZIzj0EAwIw\n"
			    "HTEbMBkGA1UEAwwSbXF0dC5sYW4gZGV2aWNlIENBMCAXDTI2MTEyNDIyMzIwNVoY\n"
			    "DzIxMjYxMDMxMjIzMjA1WjAdMRswGQYDVQQDDBJtcXR0LmxhbiBkZXZpY2UgQ0Ew\n"
			    "WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQtGQrFYoLVRBvY9Ekq63G/em0dloEb\n"
			    "6nzpJaDngTafCabpFqaaeLBR1sH3yynRngvEEQ14rYC5DwPXgu1HKnWKo3kwdzAd\n"
			    "BgNVHQ4EFgQUjnQS6pYicmcdUIgC5rztWHi3sKswHwYDVR0jBBgwFoAUjnQS6pYi\n"
			    "cmcdUIgC5rztWHi3sKswDwYDVR0TAQH/BAUwAwEB/zAkBgNVHREEHTAbgghtcXR0\n"
			    "LmxhboIJbG9jYWxob3N0hwTAqAEKMAoGCCqGSM49BAMCA0gAMEUCIC045320u7t4\n"
			    "1CjpsB8LbdtjAaW9u1b4x4WCrbzr2I5bAiEAj3kwbhZBsvqJMxCrZpmvkmXGcxq0\n"
			    "I708YcTA+u2cW8A=\n"
			    "-----END CERTIFICATE-----\n";

struct others {
	struct ipc_link *link[ROLE_N];
	FILE *calls;
	char dir[64];
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "house: %s\n", what);
	_exit(70);
}

static void send_msg(struct others *o, enum role from, enum ipc_type t, u64 id, const void *body,
		     struct slice tail, int fd)
{
	must(ipc_send(o->link[from], t, id, body, tail, fd) == E_OK, ipc_name(t));
}

/* ---- auth
 * ---------------------------------------------------------------------------------------- */

static json_t *identity(const char *name, int n)
{
	char token[64];

	snprintf(token, sizeof(token), "tok-%032d", n);
	return json_pack("{s:s,s:s,s:[s],s:s}", "name", name, "kind", "device", "roles", "sensor",
			 "token", token);
}

static json_t *added(const json_t *call)
{
	const char *prefix = json_string_value(json_object_get(call, "prefix"));
	const char *name = json_string_value(json_object_get(call, "name"));
	int n = (int)json_integer_value(json_object_get(call, "count"));
	json_t *list = json_array();
	char made[64];

	if (prefix == NULL)
		json_array_append_new(list, identity(name != NULL ? name : "?", 1));
	for (int i = 1; prefix != NULL && i <= n; i++) {
		snprintf(made, sizeof(made), "%s%02d", prefix, i);
		json_array_append_new(list, identity(made, i));
	}
	return json_pack("{s:o,s:s,s:s,s:s,s:s}", "identities", list, "changed", "made", "effect",
			 "none", "undo", "remove", "next", "wait");
}

static json_t *answer(const char *op, const json_t *call, enum err *e)
{
	if (strcmp(op, "status") == 0)
		return json_pack("{s:i,s:i,s:i}", "identities", 30, "devices", 30,
				 "never_connected", 29);
	if (strcmp(op, "identity.add") == 0)
		return added(call);
	if (strcmp(op, "identity.show") == 0)
		return json_pack("{s:{s:s,s:[s]}}", "identity", "name", "esp01", "roles", "sensor");
	if (strcmp(op, "identity.rotate") == 0)
		return json_pack("{s:s,s:s}", "token", "tok-new", "changed", "rotated");
	if (strcmp(op, "identity.list") == 0)
		return json_pack("{s:[{s:s,s:s,s:[s]}]}", "identities", "name", "esp01", "status",
				 "active", "roles", "sensor");
	if (strcmp(op, "role.show") == 0)
		return json_pack("{s:s}", "text",
				 "role sensor {\n  publish home/${device}/tele/#\n"
				 "  subscribe home/${device}/cmd/#\n}\n");
	if (strcmp(op, "explain") == 0)
		return json_pack("{s:s,s:s,s:s}", "verdict", "deny", "text",
				 "deny publish sensors/temp\x1b  rule: none for role sensor; "
				 "nearest allow home/${device}/tele/#",
				 "fix", "picket role allow sensor publish sensors/temp");
	if (strcmp(op, "policy.export") == 0) { /* larger than a tail */
		char *big = xcalloc(100001, 1);
		json_t *j;

		memset(big, 'x', 100000);
		j = json_pack("{s:s}", "text", big);
		free(big);
		return j;
	}
	*e = E_EXISTS;
	return json_pack("{s:{s:s,s:s,s:s,s:s}}", "error", "code", "E1102", "word", "exists",
			 "text", "taken \x1b[31m", "next", "another name");
}

static json_t *call_body(const struct ipc_msg *m)
{
	const struct m_call *b = m->body;
	struct slice s = m->tail;
	json_t *j;

	if (m->fd >= 0)
		must(ipc_memfd_map(m->fd, b->size, &s) == E_OK, "call in a memfd");
	j = json_loadb((const char *)s.p, s.n, 0, NULL);
	must(json_is_object(j), "a call is an object");
	json_object_set_new(j, "_admin", json_integer((json_int_t)b->admin));
	json_object_set_new(j, "_uid", json_integer((json_int_t)b->uid));
	return j;
}

static void on_auth(struct others *o, const struct ipc_msg *m)
{
	struct m_call_reply r = {0};
	json_t *call = call_body(m), *reply;
	const char *op = json_string_value(json_object_get(call, "op"));
	enum err e = E_OK;
	char *text;
	int fd = -1;

	json_dumpf(call, o->calls, JSON_COMPACT);
	fputc('\n', o->calls);
	fflush(o->calls);
	reply = answer(op, call, &e);
	text = json_dumps(reply, JSON_COMPACT);
	r.err = e;
	if (strlen(text) > 65536) {
		r.size = (u32)strlen(text);
		fd = ipc_memfd("reply", slice_str(text));
	}
	send_msg(o, ROLE_AUTH, IPC_CALL_REPLY, m->id, &r, fd < 0 ? slice_str(text) : SLICE_NONE,
		 fd);
	if (fd >= 0)
		close(fd);
	free(text);
	json_decref(reply);
	json_decref(call);
}

/* ---- broker
 * -------------------------------------------------------------------------------------- */

static void event(struct others *o, const char *word, const char *text, const char *action,
		  const char *topic)
{
	const struct m_event b = {1795528931000};
	u8 buf[1024];
	struct wr w = wr_of(buf, sizeof(buf));

	ipc_put_str(&w, SLICE_LIT("esp01"));
	ipc_put_str(&w, slice_str(word));
	ipc_put_str(&w, slice_str(text));
	if (action != NULL) {
		ipc_put_str(&w, slice_str(action));
		ipc_put_str(&w, slice_str(topic));
	}
	send_msg(o, ROLE_BROKER, IPC_EVENT, 0, &b, wr_done(&w), -1);
}

static void on_query(struct others *o, const struct ipc_msg *m)
{
	struct client_row row = {.identity = "esp01", .client_id = "esp01\x1b[2J\xff", .online = 1};
	struct m_rows b = {1, sizeof(row)};
	int fd = ipc_memfd("rows", slice_of(&row, sizeof(row)));

	send_msg(o, ROLE_BROKER, IPC_CLIENT_ROWS, m->id, &b, SLICE_NONE, fd);
	close(fd);
}

/* The store: a backup has as many bytes as one reads below, and breaks off once DIR/broken is
 * there. */
static void store_told(struct others *o, const struct ipc_msg *m)
{
	struct m_store_told t = {.op = ((const struct m_store_ask *)m->body)->op,
				 .persistent = 1,
				 .sealed = 1,
				 .sessions = 10000,
				 .queued = 123456,
				 .bytes = 5 << 20,
				 .map_bytes = 1ull << 34,
				 .up_ms = 10000,
				 .commits = 70,
				 .records = 99,
				 .epoch = 7};
	static u8 block[65536];
	char path[128];
	bool broken;

	snprintf(path, sizeof(path), "%s/broken", o->dir);
	broken = access(path, F_OK) == 0;
	for (u32 i = 0; t.op == STORE_BACKUP && i < 40; i++) {
		memset(block, (int)i, sizeof(block));
		if (write(m->fd, block, sizeof(block)) < 0 || (broken && i == 20))
			break;
	}
	t.damaged = broken ? 3 : 0;
	t.err = broken && t.op == STORE_BACKUP ? E_IO : E_OK;
	send_msg(o, ROLE_BROKER, IPC_STORE_TOLD, m->id, &t, SLICE_NONE, -1);
}

static void on_broker(struct others *o, const struct ipc_msg *m)
{
	const struct m_stats stats = {.clients = 7};
	struct rd r = rd_of(m->tail);
	struct m_kicked k = {0};

	if (m->type == IPC_STORE_ASK)
		store_told(o, m);
	else if (m->type == IPC_STATS)
		send_msg(o, ROLE_BROKER, IPC_STATS_REPLY, m->id, &stats, SLICE_NONE, -1);
	else if (m->type == IPC_CLIENT_QUERY)
		on_query(o, m);
	else if (m->type == IPC_CLIENT_KICK) {
		k.count = slice_eq(ipc_get_str(&r), SLICE_LIT("esp01")) ? 2 : 0;
		send_msg(o, ROLE_BROKER, IPC_CLIENT_KICKED, m->id, &k, SLICE_NONE, -1);
	} else if (m->type == IPC_WATCH && ((const struct m_watch *)m->body)->on) {
		event(o, "connect", "192.168.1.77 TLS1.3 auth ok", NULL, NULL);
		event(o, "deny", "publish sensors/temp\x1b]0;", "publish", "sensors/temp");
	}
}

/* ---- keys and supervisor
 * ------------------------------------------------------------------------- */

static void on_keys(struct others *o, const struct ipc_msg *m)
{
	struct m_call_reply r = {0};

	send_msg(o, ROLE_KEYS, IPC_KEYS_REPLY, m->id, &r, slice_str(house_ca_pem), -1);
}

/* A backup is one that begins with "good". */
static void restore_end(struct others *o, struct m_sup_reply *r, struct wr *w, u32 op)
{
	char path[128], to[128], text[4] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/restored", o->dir);
	snprintf(to, sizeof(to), "%s/%s", o->dir, op == SUP_RESTORE_DONE ? "done" : "dropped");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && rename(path, to) == 0, "a restore that was not begun");
	if (op == SUP_RESTORE_DONE && (read(fd, text, 4) != 4 || memcmp(text, "good", 4) != 0)) {
		r->err = E_CORRUPT;
		ipc_put_str(w, SLICE_LIT("the backup is damaged"));
	} else {
		ipc_put_str(w, SLICE_LIT("/state/store.before-1"));
	}
	close(fd);
}

static void on_sup(struct others *o, const struct ipc_msg *m)
{
	struct m_sup_reply r = {.up_ms = 1083000};
	char path[128];
	u8 buf[256];
	struct wr w = wr_of(buf, sizeof(buf));
	int fd = -1;

	if (m->type != IPC_SUP_CALL)
		return;
	for (u32 i = 0; i < ROLE_N; i++)
		r.child[i] = (struct m_sup_child){i, 0, 0, 2, 3, 1};
	switch (((const struct m_sup_call *)m->body)->op) {
	case SUP_STATUS:
		ipc_put_str(&w, SLICE_LIT("refused, OK"));
		snprintf(path, sizeof(path), "%s/broken", o->dir);
		ipc_put_str(&w, access(path, F_OK) == 0 ? SLICE_LIT("the store \x1b was damaged")
							: SLICE_NONE);
		break;
	case SUP_RESTORE_OPEN: /* one at a time: the file is there until it is dropped or done */
		snprintf(path, sizeof(path), "%s/restored", o->dir);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		r.err = fd < 0 ? E_BUSY : E_OK;
		break;
	case SUP_RESTORE_DONE:
	case SUP_RESTORE_DROP:
		restore_end(o, &r, &w, ((const struct m_sup_call *)m->body)->op);
		break;
	case SUP_RELOAD:
		r.err = E_CONFIG;
		ipc_put_str(&w, SLICE_LIT("picket.conf:3: unknown option foo"));
		break;
	default:
		snprintf(path, sizeof(path), "%s/log", o->dir);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (m->id != 0)
		send_msg(o, ROLE_SUP, IPC_SUP_REPLY, m->id, &r, wr_done(&w), fd);
	if (fd >= 0)
		close(fd);
}

/* ---- both processes
 * ------------------------------------------------------------------------------ */

static void serve(struct others *o)
{
	static void (*const on[ROLE_N])(struct others *,
					const struct ipc_msg *) = {[ROLE_SUP] = on_sup,
								   [ROLE_BROKER] = on_broker,
								   [ROLE_AUTH] = on_auth,
								   [ROLE_KEYS] = on_keys};

	for (;;) {
		struct pollfd p[ROLE_ADMIN];

		for (u32 i = 0; i < ROLE_ADMIN; i++)
			p[i] = (struct pollfd){ipc_link_fd(o->link[i]), POLLIN, 0};
		must(poll(p, ROLE_ADMIN, 60000) > 0, "nothing for a minute");
		for (u32 i = 0; i < ROLE_ADMIN; i++) {
			struct ipc_msg m;
			enum err e;

			while ((e = ipc_recv(o->link[i], &m)) == E_OK) {
				on[i](o, &m);
				if (m.fd >= 0)
					close(m.fd);
			}
			if (e != E_MORE)
				_exit(0);
		}
	}
}

static void pair(int fd[2])
{
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0, "socketpair");
}

static int listener(const char *dir)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/admin.sock", dir);
	must(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "bind");
	must(chmod(a.sun_path, 0666) == 0, "chmod");
	must(listen(fd, 16) == 0, "listen");
	return fd;
}

/* LINK, CONFIG, ADMIN_SOCKET, START: as the supervisor does. */
static void hand_over(struct others *o, int socket)
{
	struct conf *c = xcalloc(1, sizeof(*c));
	struct m_config mc = {.generation = 1, .size = sizeof(*c)};
	const struct m_none none = {0};
	const struct m_start start = {.nshards = 1};
	int fd;

	for (u32 i = ROLE_BROKER; i <= ROLE_KEYS; i++) {
		struct m_link l = {i};
		int p[2];

		pair(p);
		send_msg(o, ROLE_SUP, IPC_LINK, 0, &l, SLICE_NONE, p[1]);
		close(p[1]);
		o->link[i] = ipc_link_new(p[0], (enum role)i, ROLE_ADMIN);
	}
	conf_defaults(c);
	fd = ipc_memfd("conf", slice_of(c, sizeof(*c)));
	send_msg(o, ROLE_SUP, IPC_CONFIG, 0, &mc, SLICE_NONE, fd);
	close(fd);
	send_msg(o, ROLE_SUP, IPC_ADMIN_SOCKET, 0, &none, SLICE_NONE, socket);
	send_msg(o, ROLE_SUP, IPC_START, 0, &start, SLICE_NONE, -1);
	free(c);
}

static bool no_sandbox(enum role me, struct m_ready *r)
{
	return true;
}

static void others_run(struct house *h, int fd, int socket)
{
	struct others o = {0};
	char path[128];

	snprintf(o.dir, sizeof(o.dir), "%s", h->dir);
	snprintf(path, sizeof(path), "%s/calls", h->dir);
	o.calls = fopen(path, "we");
	o.link[ROLE_SUP] = ipc_link_new(fd, ROLE_SUP, ROLE_ADMIN);
	hand_over(&o, socket);
	close(socket);
	serve(&o);
}

void house_start(struct house *h)
{
	char path[128];
	FILE *log;
	int fd[2], s;

	snprintf(h->dir, sizeof(h->dir), "/tmp/picket-house-XXXXXX");
	must(mkdtemp(h->dir) != NULL, "mkdtemp");
	must(chmod(h->dir, 0755) == 0, "chmod");
	snprintf(path, sizeof(path), "%s/log", h->dir);
	log = fopen(path, "we");
	must(log != NULL, "log");
	fputs("one\ntwo \x1b[31m\nthree\n", log);
	fclose(log);
	pair(fd);
	s = listener(h->dir);
	h->admin = fork();
	if (h->admin == 0) {
		close(fd[0]);
		close(s);
		alarm(60);
		exit(admin_main(fd[1], no_sandbox));
	}
	h->others = fork();
	if (h->others == 0) {
		close(fd[1]);
		alarm(60);
		others_run(h, fd[0], s);
	}
	close(fd[0]);
	close(fd[1]);
	close(s);
}

void house_stop(struct house *h)
{
	static const char *const files[] = {"admin.sock", "calls", "log"};
	char path[128];
	int status = 0;

	kill(h->others, SIGKILL);
	waitpid(h->others, NULL, 0);
	waitpid(h->admin, &status, 0); /* it ends by itself when the supervisor is gone */
	must(WIFEXITED(status), "admin did not end in order");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", h->dir, files[i]);
		unlink(path);
	}
	rmdir(h->dir);
}

u32 house_calls(const struct house *h, const char *op)
{
	char path[128], line[4096], want[128];
	FILE *f;
	u32 n = 0;

	snprintf(path, sizeof(path), "%s/calls", h->dir);
	snprintf(want, sizeof(want), "\"op\":\"%s\"", op);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, want) != NULL;
	if (f != NULL)
		fclose(f);
	return n;
}
