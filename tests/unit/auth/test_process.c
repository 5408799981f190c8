/* The process itself, forked, over real links: the test is supervisor, keys, broker and admin. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "auth/auth.h"
#include "conf/conf.h"

struct proc {
	pid_t pid;
	char dir[64];
	struct ipc_link *sup, *broker, *keys, *admin;
	struct ipc_msg msg;
};

static bool no_sandbox(enum role me, struct m_ready *ready)
{
	(void)ready;
	return me == ROLE_AUTH;
}

/* The next message of this link, whatever it takes. */
static struct ipc_msg *next(struct proc *p, struct ipc_link *l)
{
	struct pollfd fd = {.fd = ipc_link_fd(l), .events = POLLIN};
	enum err e;

	while ((e = ipc_recv(l, &p->msg)) == E_MORE)
		assert_int_equal(poll(&fd, 1, 20000), 1);
	assert_int_equal(e, E_OK);
	return &p->msg;
}

static void send_(struct ipc_link *l, enum ipc_type t, u64 id, const void *body, struct slice tail,
		  int fd)
{
	assert_int_equal(ipc_send(l, t, id, body, tail, fd), E_OK);
	assert_int_equal(ipc_flush(l), E_OK);
}

static struct ipc_link *link_make(struct proc *p, enum role me)
{
	struct m_link m = {me};
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	send_(p->sup, IPC_LINK, 0, &m, SLICE_NONE, fd[1]);
	close(fd[1]);
	return ipc_link_new(fd[0], me, ROLE_AUTH);
}

static void proc_start(struct proc *p)
{
	struct m_config mc = {.generation = 1, .size = sizeof(struct conf)};
	struct m_start ms = {.nshards = 1, .first_start = 1};
	struct m_file mf = {FILE_AUTH_DIR, 0, FILE_READ, E_OK};
	static struct conf conf;
	char folder[80];
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		close(fd[0]);
		_exit(auth_main(fd[1], no_sandbox));
	}
	close(fd[1]);
	p->sup = ipc_link_new(fd[0], ROLE_SUP, ROLE_AUTH);
	conf_defaults(&conf);
	conf.bootstrap[0] = '\0';
	snprintf(conf.state_dir, sizeof(conf.state_dir), "%s", p->dir);
	p->broker = link_make(p, ROLE_BROKER);
	p->keys = link_make(p, ROLE_KEYS);
	p->admin = link_make(p, ROLE_ADMIN);
	fd[0] = ipc_memfd("conf", slice_of(&conf, sizeof(conf)));
	send_(p->sup, IPC_CONFIG, 0, &mc, SLICE_NONE, fd[0]);
	close(fd[0]);
	snprintf(folder, sizeof(folder), "%s/auth", p->dir);
	assert_true(mkdir(folder, 0700) == 0 || errno == EEXIST);
	fd[0] = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	send_(p->sup, IPC_FILE, 0, &mf, SLICE_NONE, fd[0]);
	close(fd[0]);
	send_(p->sup, IPC_START, 0, &ms, SLICE_NONE, -1);
}

static void give_key(struct proc *p)
{
	struct m_token_key k;

	memset(&k, 7, sizeof(k));
	send_(p->keys, IPC_TOKEN_KEY, 0, &k, SLICE_NONE, -1);
}

static int proc_end(struct proc *p, bool orderly)
{
	struct m_none none = {0};
	int status;

	if (orderly)
		send_(p->sup, IPC_STOP, 0, &none, SLICE_NONE, -1);
	ipc_link_free(&p->broker);
	ipc_link_free(&p->keys);
	ipc_link_free(&p->admin);
	if (!orderly)
		ipc_link_free(&p->sup);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	if (orderly)
		ipc_link_free(&p->sup);
	return status;
}

static int setup(void **state)
{
	struct proc *p = xcalloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/picket-auth-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct proc *p = *state;
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", p->dir);
	assert_int_equal(system(cmd), 0);
	free(p);
	return 0;
}

/* Broker's side of a change: take it, check it, confirm it. */
static void confirm(struct proc *p, enum ipc_type want)
{
	struct m_generation g;
	struct ipc_msg *m = next(p, p->broker);
	const struct policy *policy;
	struct slice block;

	assert_int_equal(m->type, want);
	if (want == IPC_POLICY) {
		const struct m_policy *mp = m->body;
		assert_int_equal(ipc_memfd_map(m->fd, mp->size, &block), E_OK);
		assert_int_equal(policy_open(block, &policy), E_OK);
		assert_int_equal(policy_generation(policy), mp->generation);
		munmap((void *)(uintptr_t)block.p, block.n);
		close(m->fd);
		g.generation = mp->generation;
	} else {
		g.generation = ((const struct m_identity *)m->body)->generation;
	}
	send_(p->broker, IPC_GENERATION_DONE, 0, &g, SLICE_NONE, -1);
}

static json_t *answer(struct proc *p, u64 id, enum err want)
{
	struct ipc_msg *m = next(p, p->admin);
	const struct m_call_reply *r = m->body;
	struct slice json = m->tail;
	json_t *j;

	assert_int_equal(m->type, IPC_CALL_REPLY);
	assert_int_equal(m->id, id);
	assert_int_equal(r->err, want);
	if (m->fd >= 0)
		assert_int_equal(ipc_memfd_map(m->fd, r->size, &json), E_OK);
	j = json_loadb((const char *)json.p, json.n, 0, NULL);
	assert_non_null(j);
	if (m->fd >= 0) {
		munmap((void *)(uintptr_t)json.p, json.n);
		close(m->fd);
	}
	return j;
}

static void call(struct proc *p, u64 id, const char *json, int fd)
{
	struct m_call m = {.admin = 1, .size = (u32)strlen(json)};

	send_(p->admin, IPC_CALL, id, &m, fd < 0 ? slice_str(json) : SLICE_NONE, fd);
}

static void login(struct proc *p, u64 id, const char *name, const char *password)
{
	struct m_login m = {
		.conf_generation = 1, .version = 5, .has_username = 1, .has_password = 1};
	u8 tail[256];
	struct wr w = wr_of(tail, sizeof(tail));

	m.client_id_len = m.username_len = (u16)strlen(name);
	m.password_len = (u16)strlen(password);
	wr_bytes(&w, name, strlen(name));
	wr_bytes(&w, name, strlen(name));
	wr_bytes(&w, password, strlen(password));
	send_(p->broker, IPC_LOGIN, id, &m, wr_done(&w), -1);
}

static void verdict_is(struct proc *p, u64 id, u32 verdict)
{
	struct ipc_msg *m = next(p, p->broker);

	assert_int_equal(m->type, IPC_VERDICT);
	assert_int_equal(m->id, id);
	assert_int_equal(((const struct m_verdict *)m->body)->verdict, verdict);
}

static void whole_life(void **state)
{
	struct proc *p = *state;
	char token[TOKEN_CHARS + 1];
	json_t *j;
	int fd;

	proc_start(p);
	assert_int_equal(next(p, p->sup)->type, IPC_READY);
	confirm(p, IPC_POLICY);
	/* Without its key it answers nobody; then it answers all. */
	login(p, 1, "esp01", "whatever it may be");
	give_key(p);
	verdict_is(p, 1, DENY);
	call(p, 2, "{\"op\":\"role.set\",\"name\":\"r\",\"text\":\"role r { publish # }\"}", -1);
	confirm(p, IPC_POLICY);
	json_decref(answer(p, 2, E_OK));
	/* A call in shared memory, answered in shared memory. */
	fd = ipc_memfd("call",
		       SLICE_LIT("{\"op\":\"identity.add\",\"kind\":\"device\",\"prefix\":\"esp\","
				 "\"count\":900,\"roles\":[\"r\"]}"));
	call(p, 3,
	     "{\"op\":\"identity.add\",\"kind\":\"device\",\"prefix\":\"esp\",\"count\":900,"
	     "\"roles\":"
	     "[\"r\"]}",
	     fd);
	close(fd);
	j = answer(p, 3, E_OK);
	assert_int_equal(json_array_size(json_object_get(j, "identities")), 900);
	snprintf(token, sizeof(token), "%s",
		 json_string_value(json_object_get(
			 json_array_get(json_object_get(j, "identities"), 0), "token")));
	json_decref(j);
	login(p, 4, "esp001", token);
	verdict_is(p, 4, ALLOW);
	call(p, 5, "{\"op\":\"identity.revoke\",\"name\":\"esp001\"}", -1);
	confirm(p, IPC_IDENTITY);
	json_decref(answer(p, 5, E_OK));
	login(p, 6, "esp001", token);
	verdict_is(p, 6, DENY);
	assert_int_equal(proc_end(p, true), 0);
}

/* It runs and holds the device esp01, whose token it has given. */
static void start_with_device(struct proc *p, char token[static TOKEN_CHARS + 1])
{
	json_t *j;

	proc_start(p);
	assert_int_equal(next(p, p->sup)->type, IPC_READY);
	confirm(p, IPC_POLICY);
	give_key(p);
	call(p, 1, "{\"op\":\"identity.add\",\"kind\":\"device\",\"name\":\"esp01\"}", -1);
	j = answer(p, 1, E_OK);
	snprintf(token, TOKEN_CHARS + 1, "%s",
		 json_string_value(json_object_get(
			 json_array_get(json_object_get(j, "identities"), 0), "token")));
	json_decref(j);
}

/* kill -9 directly after the answer: the revocation is there. */
static void durable_when_answered(void **state)
{
	struct proc *p = *state;
	char token[TOKEN_CHARS + 1];
	const struct m_identity *m;

	start_with_device(p, token);
	call(p, 2, "{\"op\":\"identity.revoke\",\"name\":\"esp01\"}", -1);
	assert_int_equal(next(p, p->broker)->type, IPC_IDENTITY); /* and broker never confirms */
	kill(p->pid, SIGKILL);
	assert_true(WIFSIGNALED(proc_end(p, false)));
	proc_start(p);
	assert_int_equal(next(p, p->sup)->type, IPC_READY);
	confirm(p, IPC_POLICY);
	m = next(p, p->broker)->body; /* told again */
	assert_int_equal(p->msg.type, IPC_IDENTITY);
	assert_int_equal(m->status, STATUS_REVOKED);
	give_key(p);
	login(p, 3, "esp01", token);
	verdict_is(p, 3, DENY);
	assert_int_equal(proc_end(p, true), 0);
}

static void damaged_store_stops_the_start(void **state)
{
	struct proc *p = *state;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/auth", p->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/auth/auth.db", p->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("these are not the identities you are looking for", file);
	fclose(file);
	proc_start(p);
	assert_int_not_equal(proc_end(p, false), 0);
}

static void ends_with_its_supervisor(void **state)
{
	struct proc *p = *state;

	proc_start(p);
	assert_int_equal(next(p, p->sup)->type, IPC_READY);
	assert_true(WIFEXITED(proc_end(p, false)));
}

static void links_free(struct proc *p)
{
	ipc_link_free(&p->broker);
	ipc_link_free(&p->keys);
	ipc_link_free(&p->admin);
	ipc_link_free(&p->sup);
}

/* Another key would void every token: better no auth than a wrong one. */
static void key_never_changes(void **state)
{
	struct proc *p = *state;
	struct m_token_key k = {{9}};
	int status;

	proc_start(p);
	assert_int_equal(next(p, p->sup)->type, IPC_READY);
	give_key(p);
	give_key(p); /* the same again, from a keys process that restarted */
	send_(p->keys, IPC_TOKEN_KEY, 0, &k, SLICE_NONE, -1);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	assert_int_not_equal(status, 0);
	links_free(p);
}

/* A pepper of elsewhere would make every token wrong: the start ends, and the store is as it was.
 */
static void foreign_key(void **state)
{
	struct proc *p = *state;
	struct m_token_key k = {{9}};
	char token[TOKEN_CHARS + 1];
	int status;

	start_with_device(p, token);
	assert_int_equal(proc_end(p, true), 0);
	proc_start(p);
	assert_int_equal(next(p, p->sup)->type, IPC_READY);
	confirm(p, IPC_POLICY);
	send_(p->keys, IPC_TOKEN_KEY, 0, &k, SLICE_NONE, -1);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	assert_int_not_equal(status, 0);
	links_free(p);
	proc_start(p);
	assert_int_equal(next(p, p->sup)->type, IPC_READY);
	confirm(p, IPC_POLICY);
	give_key(p);
	login(p, 2, "esp01", token);
	verdict_is(p, 2, ALLOW);
	assert_int_equal(proc_end(p, true), 0);
}

static void ask_rights(struct proc *p, u64 id, const u64 *ids, u32 n)
{
	struct m_rights_ask m = {.count = n};

	send_(p->broker, IPC_RIGHTS_ASK, id, &m, slice_of(ids, n * sizeof(*ids)), -1);
}

/* The next rights of broker's link; name is the identity's. */
static struct rights_row rights_row(struct rd *r, struct slice *name)
{
	struct rights_row row;
	struct slice b = rd_bytes(r, sizeof(row));

	assert_int_equal(b.n, sizeof(row));
	memcpy(&row, b.p, sizeof(row));
	*name = ipc_get_str(r);
	ipc_get_str(r);
	ipc_get_str(r);
	for (u16 i = rd_u16(r); i > 0; i--)
		rd_u32(r);
	assert_int_equal(r->err, E_OK);
	return row;
}

/* Those who own something stored: who lives, who was revoked, who never was, and strangers. */
static void rights_of_owners(void **state)
{
	struct proc *p = *state;
	char token[TOKEN_CHARS + 1];
	const u64 ids[] = {1, 77, 0};
	struct rights_row row;
	const struct m_rights *m;
	struct slice name;
	struct rd r;

	start_with_device(p, token);
	ask_rights(p, 9, ids, 3);
	m = next(p, p->broker)->body;
	assert_int_equal(p->msg.type, IPC_RIGHTS);
	assert_int_equal(p->msg.id, 9);
	assert_int_equal(m->count, 3);
	assert_int_equal(m->last, 1);
	r = rd_of(p->msg.tail);
	row = rights_row(&r, &name);
	assert_int_equal(row.identity_id, 1);
	assert_int_equal(row.status, STATUS_ACTIVE);
	assert_int_equal(row.kind, KIND_DEVICE);
	assert_true(slice_eq(name, SLICE_LIT("esp01")));
	row = rights_row(&r, &name);
	assert_int_equal(row.identity_id, 77);
	assert_int_equal(row.status, STATUS_REVOKED);
	assert_int_equal(name.n, 0);
	row = rights_row(&r, &name); /* no listener is open to strangers */
	assert_int_equal(row.identity_id, 0);
	assert_int_equal(row.status, STATUS_REVOKED);
	assert_int_equal(rd_left(&r), 0);

	call(p, 2, "{\"op\":\"identity.remove\",\"name\":\"esp01\"}", -1);
	confirm(p, IPC_IDENTITY);
	json_decref(answer(p, 2, E_OK));
	ask_rights(p, 10, ids, 1);
	next(p, p->broker);
	r = rd_of(p->msg.tail);
	row = rights_row(&r, &name);
	assert_int_equal(row.status, STATUS_REVOKED);
	assert_int_equal(name.n, 0);

	ask_rights(p, 11, ids, 0); /* nobody: the end all the same */
	m = next(p, p->broker)->body;
	assert_int_equal(m->count, 0);
	assert_int_equal(m->last, 1);
	assert_int_equal(proc_end(p, true), 0);
}

/* More than one message holds. */
static void rights_of_many(void **state)
{
	struct proc *p = *state;
	char token[TOKEN_CHARS + 1], json[1024], group[129];
	u64 ids[RIGHTS_ASKED];
	const struct m_rights *m;
	u32 n = 0, messages = 0;

	start_with_device(p, token);
	memset(group, 'g', sizeof(group) - 1);
	group[sizeof(group) - 1] = '\0';
	snprintf(json, sizeof(json),
		 "{\"op\":\"identity.add\",\"kind\":\"device\",\"prefix\":\"a-device-with-a-long-"
		 "name-\","
		 "\"count\":600,\"group\":\"%s\"}",
		 group);
	call(p, 2, json, -1);
	json_decref(answer(p, 2, E_OK));
	for (u32 i = 0; i < RIGHTS_ASKED; i++)
		ids[i] = i + 1;
	ask_rights(p, 9, ids, RIGHTS_ASKED);
	do {
		m = next(p, p->broker)->body;
		assert_int_equal(p->msg.type, IPC_RIGHTS);
		assert_int_equal(p->msg.id, 9);
		n += m->count;
		messages++;
	} while (!m->last);
	assert_int_equal(n, RIGHTS_ASKED);
	assert_true(messages > 1);
	assert_int_equal(proc_end(p, true), 0);
}

static void rights_ask_that_lies(void **state)
{
	struct proc *p = *state;
	struct m_rights_ask m = {.count = 2};
	u64 one = 1;
	int status;

	proc_start(p);
	assert_int_equal(next(p, p->sup)->type, IPC_READY);
	confirm(p, IPC_POLICY);
	send_(p->broker, IPC_RIGHTS_ASK, 1, &m, slice_of(&one, sizeof(one)), -1);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	assert_int_not_equal(status, 0);
	links_free(p);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(whole_life),
		T(durable_when_answered),
		T(damaged_store_stops_the_start),
		T(ends_with_its_supervisor),
		T(key_never_changes),
		T(foreign_key),
		T(rights_of_owners),
		T(rights_of_many),
		T(rights_ask_that_lies),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("auth/process", tests, NULL, NULL);
}
