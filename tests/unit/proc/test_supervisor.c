/* test_supervisor: its parts on real folders, sockets and links: lines and their turning over,
 * listening sockets, the file broker. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/mem.h"
#include "proc/supervisor.h"

static char folder[] = "/tmp/picket-sup-XXXXXX";
static struct sup *s;

static int setup(void **state)
{
	char path[64];

	s = xcalloc(1, sizeof(*s));
	memset(s->temp, -1, sizeof(s->temp));
	conf_defaults(&s->conf);
	snprintf(path, sizeof(path), "%s/log", folder);
	mkdir(path, 0700);
	s->log.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/keys", folder);
	mkdir(path, 0700);
	s->keys = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(sup_log_open(s));
	s->nshards = 2;
	s->phase = PH_SERVING;
	return 0;
}

static int teardown(void **state)
{
	close(s->log.file);
	close(s->log.dir);
	close(s->keys);
	free(s);
	return 0;
}

static char *content(const char *name)
{
	static char b[40000];
	int fd = openat(s->log.dir, name, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, b, sizeof(b) - 1);

	if (fd >= 0)
		close(fd);
	b[MAX(n, 0)] = '\0';
	return b;
}

/* ---- lines ------------------------------------------------------------------------------------
 */
static void test_lines(void **state)
{
	static char big[10000];
	struct linebuf l = {.fd = -1};
	int fd[2];

	assert_int_equal(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	l.fd = fd[0];
	assert_int_equal(ftruncate(s->log.file, 0), 0);
	assert_int_equal(write(fd[1], "one\ntw", 6), 6);
	assert_true(linebuf_read(s, &l));
	assert_string_equal(content("picketd.log"), "one\n");
	assert_int_equal(write(fd[1], "o\x1b[31m\r\n\nthree", 14), 14);
	assert_true(linebuf_read(s, &l));
	assert_string_equal(content("picketd.log"), "one\ntwo?[31m?\n");
	close(fd[1]); /* its last words end without a newline */
	assert_false(linebuf_read(s, &l));
	assert_string_equal(content("picketd.log"), "one\ntwo?[31m?\nthree\n");
	close(fd[0]);

	assert_int_equal(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	l = (struct linebuf){.fd = fd[0]};
	assert_int_equal(ftruncate(s->log.file, 0), 0);
	memset(big, 'a', sizeof(big));
	assert_int_equal(write(fd[1], big, sizeof(big)), (ssize_t)sizeof(big));
	assert_int_equal(write(fd[1], "\nshort\n", 7), 7);
	assert_true(linebuf_read(s, &l));
	assert_int_equal(strlen(content("picketd.log")), SUP_LINE_MAX + 6);
	assert_non_null(strstr(content("picketd.log"), "a\nshort\n"));
	close(fd[0]);
	close(fd[1]);
}

static void test_say_is_one_line(void **state)
{
	assert_int_equal(ftruncate(s->log.file, 0), 0);
	sup_say(s, LOG_ERROR, "start", "a \"quoted\"\nname %s", "\x1b]");
	assert_non_null(strstr(content("picketd.log"), " error "));
	assert_non_null(strstr(content("picketd.log"),
			       "event=start msg=\"a \\x22quoted\\x22\\x0aname \\x1b]\"\n"));
	assert_int_equal(strcspn(content("picketd.log"), "\n"), strlen(content("picketd.log")) - 1);
}

static void test_log_turns_over(void **state)
{
	struct stat st;

	for (u32 i = 0; i < 5; i++) {
		sup_log_bytes(s, "x\n", 2);
		s->log.size = 10 * 1024 * 1024; /* as if it were full */
	}
	assert_int_equal(fstatat(s->log.dir, "picketd.log.3", &st, 0), 0);
	assert_int_equal(fstatat(s->log.dir, "picketd.log.4", &st, 0), -1);
	assert_int_equal(fstatat(s->log.dir, "picketd.log", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 2);
}

/* ---- sockets ----------------------------------------------------------------------------------
 */
static u16 free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static bool reachable(u16 port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool ok = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	close(fd);
	return ok;
}

static void listen_on(struct conf *c, u32 i, const char *address, u16 port)
{
	snprintf(c->listener[i].name, sizeof(c->listener[i].name), "l%u", i);
	snprintf(c->listener[i].address, sizeof(c->listener[i].address), "%s", address);
	snprintf(c->listener[i].bind, sizeof(c->listener[i].bind), "%s:%u",
		 address[0] ? address : "*", port);
	c->listener[i].port = port;
	c->listeners = i + 1;
}

static void test_every_address(void **state)
{
	u16 port = free_port();

	listen_on(&s->conf, 0, "", port);
	assert_true(sockets_open(s, &s->conf, NULL, &s->listeners));
	assert_true(reachable(port));		   /* IPv4 through the socket of all addresses */
	assert_true(s->listeners.v[0].fd[1] >= 0); /* one a shard */
	assert_int_equal(s->listeners.v[0].fd[2], -1);
	sockets_close(&s->listeners, NULL);
	assert_false(reachable(port));
}

static void test_busy_port_is_explained(void **state)
{
	struct sup_listeners again;
	char want[200];
	u16 port = free_port();

	listen_on(&s->conf, 0, "127.0.0.1", port);
	s->conf.listener[0].line = 7;
	assert_true(sockets_open(s, &s->conf, NULL, &s->listeners));
	/* also for the same user, whom SO_REUSEPORT would let in */
	assert_false(sockets_open(s, &s->conf, NULL, &again));
	snprintf(want, sizeof(want),
		 "/etc/picket/picket.conf:7: listener l0 cannot listen on 127.0.0.1:%u: Address "
		 "already in use; "
		 "stop the program that listens there",
		 port);
	assert_int_equal(strncmp(s->why, want, strlen(want)), 0);
	sockets_close(&s->listeners, NULL);
}

/* Bound all the same: it works when the address comes. */
static void test_address_that_is_not_here(void **state)
{
	static const char *const away[] = {"192.0.2.77", "2001:db8:77::1"};

	for (u32 i = 0; i < ARRAY_LEN(away); i++) {
		assert_int_equal(ftruncate(s->log.file, 0), 0);
		listen_on(&s->conf, 0, away[i], free_port());
		if (!sockets_open(s, &s->conf, NULL, &s->listeners)) {
			assert_int_equal(i, 1); /* no IPv6 here */
			continue;
		}
		assert_true(s->listeners.v[0].fd[1] >= 0);
		assert_non_null(strstr(content("picketd.log"), "waits for address"));
		sockets_close(&s->listeners, NULL);
	}
}

static void test_interface_that_is_not_here(void **state)
{
	u16 port = free_port();

	listen_on(&s->conf, 0, "", port);
	snprintf(s->conf.listener[0].interface, sizeof(s->conf.listener[0].interface), "nope0");
	assert_true(sockets_open(s, &s->conf, NULL, &s->listeners));
	assert_int_equal(s->listeners.v[0].fd[0], -1);
	assert_non_null(strstr(content("picketd.log"), "waits for interface nope0"));
	assert_int_equal(sockets_look_at(s), 0);
	sockets_look(s);
	assert_int_equal(s->listeners.v[0].fd[0], -1);
	assert_true(sockets_look_at(s) > 0 && sockets_look_at(s) != UINT64_MAX);
	/* And now it is: what was looked for in vain is found. */
	snprintf(s->conf.listener[0].interface, sizeof(s->conf.listener[0].interface), "lo");
	snprintf(s->listeners.v[0].interface, sizeof(s->listeners.v[0].interface), "lo");
	s->look_at_ms = 0;
	sockets_look(s);
	assert_true(s->listeners.v[0].fd[1] >= 0);
	assert_true(reachable(port));
	sockets_close(&s->listeners, NULL);
	listen_on(&s->conf, 0, "", port);
	s->conf.listener[0].interface[0] = '\0';
	assert_true(sockets_open(s, &s->conf, NULL, &s->listeners));
	assert_true(sockets_look_at(s) == UINT64_MAX); /* nobody has to look */
	sockets_close(&s->listeners, NULL);
}

/* ---- unix sockets ------------------------------------------------------------------------------
 */
static char local_folder[64];

static void local_on(const char *name)
{
	struct conf_listener *l = &s->conf.listener[0];

	snprintf(local_folder, sizeof(local_folder), "%s/local", folder);
	mkdir(local_folder, 0755);
	chmod(local_folder, 0755);
	s->conf.listeners = 1;
	l->local = true;
	l->port = 0;
	l->socket_mode = 0666;
	snprintf(l->name, sizeof(l->name), "l0");
	snprintf(l->address, sizeof(l->address), "%s/%s", local_folder, name);
	snprintf(l->bind, sizeof(l->bind), "unix:%s", l->address);
}

static bool local_reachable(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool ok;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", s->conf.listener[0].address);
	ok = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return ok;
}

static void refuses(const char *why)
{
	struct sup_listeners out;

	assert_false(sockets_open(s, &s->conf, NULL, &out));
	assert_non_null(strstr(s->why, why));
}

static void test_unix_socket(void **state)
{
	const char *path = s->conf.listener[0].address;
	struct stat st;

	local_on("mqtt.sock");
	assert_true(sockets_open(s, &s->conf, NULL, &s->listeners));
	assert_true(s->listeners.v[0].fd[0] >= 0);
	assert_int_equal(s->listeners.v[0].fd[1], -1); /* one for all shards */
	assert_true(local_reachable());
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	refuses("Address already in use"); /* another picketd */
	assert_true(sockets_open(s, &s->conf, &s->listeners, &s->next_listeners));
	assert_int_equal(s->next_listeners.v[0].fd[0], s->listeners.v[0].fd[0]);
	sockets_close(&s->next_listeners, &s->listeners); /* a reload that is taken back */
	assert_true(local_reachable());
	s->conf.listener[0].socket_mode = 0600;
	assert_true(local_rights(s, &s->conf, &s->conf.listener[0]));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	sockets_close(&s->listeners, NULL);
	assert_int_equal(stat(path, &st), -1);
}

static void test_unix_socket_left_over(void **state)
{
	struct conf_listener *l = &s->conf.listener[0];
	int fd;

	local_on("old.sock");
	fd = local_open(s, &s->conf, l);
	assert_true(fd >= 0);
	close(fd); /* as after kill -9: the file is there, and nobody listens */
	assert_false(local_reachable());
	assert_true(sockets_open(s, &s->conf, NULL, &s->listeners));
	assert_true(local_reachable());
	sockets_close(&s->listeners, NULL);
}

static void test_unix_socket_in_a_bad_place(void **state)
{
	struct conf_listener *l = &s->conf.listener[0];
	char target[128];
	struct stat st;

	local_on("x.sock");
	snprintf(l->socket_group, sizeof(l->socket_group), "no-such-group");
	refuses("there is no group of that name");
	assert_int_equal(stat(l->address, &st), -1);
	l->socket_group[0] = '\0';
	chmod(local_folder, 0777); /* anybody could put a socket of his own there */
	refuses("nobody else may write to");
	chmod(local_folder, 0755);
	close(open(l->address, O_CREAT | O_WRONLY, 0600));
	refuses("something lies there that is no socket");
	assert_int_equal(stat(l->address, &st), 0);
	unlink(l->address);
	snprintf(target, sizeof(target), "%s/elsewhere", local_folder);
	assert_int_equal(symlink(target, l->address), 0);
	refuses("something lies there that is no socket");
	unlink(l->address);
	local_on("missing/x.sock");
	refuses("make the folder");
}

static void test_reload_keeps_sockets(void **state)
{
	u16 a = free_port(), b = free_port();

	listen_on(&s->conf, 0, "127.0.0.1", a);
	assert_true(sockets_open(s, &s->conf, NULL, &s->listeners));
	conf_defaults(&s->next);
	listen_on(&s->next, 0, "127.0.0.1", b);
	listen_on(&s->next, 1, "127.0.0.1", a);
	assert_true(sockets_open(s, &s->next, &s->listeners, &s->next_listeners));
	assert_int_equal(s->next_listeners.v[1].fd[0], s->listeners.v[0].fd[0]);
	assert_true(reachable(b));
	sockets_close(&s->next_listeners, &s->listeners); /* taken back: the old one goes on */
	assert_true(reachable(a));
	assert_false(reachable(b));
	sockets_close(&s->listeners, NULL);
	assert_false(reachable(a));
}

/* ---- files ------------------------------------------------------------------------------------
 */
static struct ipc_link *join(enum role role)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	s->child[role].link = ipc_link_new(fd[0], ROLE_SUP, role);
	return ipc_link_new(fd[1], role, ROLE_SUP);
}

static void leave(enum role role, struct ipc_link **l)
{
	ipc_link_free(l);
	ipc_link_free(&s->child[role].link);
}

/* The answer to a request, as the child sees it; its descriptor in *fd. */
static u32 get_nth(enum role role, struct ipc_link *l, u32 file, u32 index, u32 mode, int *fd)
{
	struct m_file_get g = {file, index, mode};
	struct ipc_msg m = {.id = 42, .body = &g, .fd = -1}, a;
	const struct m_file *f;

	if (mode == FILE_DONE)
		files_commit(s, role, &m);
	else
		files_get(s, role, &m);
	assert_int_equal(ipc_recv(l, &a), E_OK);
	f = a.body;
	assert_int_equal(a.id, 42);
	assert_int_equal(f->file, file);
	assert_int_equal(f->mode, mode);
	*fd = a.fd;
	return f->err;
}

static u32 get(enum role role, struct ipc_link *l, u32 file, u32 mode, int *fd)
{
	return get_nth(role, l, file, 0, mode, fd);
}

static void secret_is(struct ipc_link *l, u32 index, const char *text)
{
	char b[40] = "";
	int fd;

	assert_int_equal(get_nth(ROLE_AUTH, l, FILE_BOOTSTRAP_SECRET, index, FILE_READ, &fd), E_OK);
	assert_true(read(fd, b, sizeof(b) - 1) > 0);
	assert_string_equal(b, text);
	close(fd);
}

static void test_new_file_counts_when_committed(void **state)
{
	struct ipc_link *l = join(ROLE_KEYS);
	char b[8] = "";
	struct stat st;
	int fd, none;

	assert_int_equal(get(ROLE_KEYS, l, FILE_PEPPER, FILE_READ, &none), E_NOT_FOUND);
	assert_int_equal(none, -1);
	assert_int_equal(get(ROLE_KEYS, l, FILE_PEPPER, FILE_NEW, &fd), E_OK);
	assert_int_equal(write(fd, "salt", 4), 4);
	assert_int_equal(get(ROLE_KEYS, l, FILE_PEPPER, FILE_READ, &none), E_NOT_FOUND);
	assert_int_equal(get(ROLE_KEYS, l, FILE_PEPPER, FILE_DONE, &none), E_OK);
	close(fd);
	assert_int_equal(get(ROLE_KEYS, l, FILE_PEPPER, FILE_READ, &fd), E_OK);
	assert_int_equal(read(fd, b, sizeof(b)), 4);
	assert_int_equal(write(fd, "x", 1), -1); /* to read means to read */
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(fd);
	assert_int_equal(get(ROLE_KEYS, l, FILE_PEPPER, FILE_DONE, &none),
			 E_STATE); /* nothing begun */

	/* begun, and the process dies: the old one stays, nothing is left */
	assert_int_equal(get(ROLE_KEYS, l, FILE_PEPPER, FILE_NEW, &fd), E_OK);
	close(fd);
	files_forget(s);
	assert_int_equal(faccessat(s->keys, ".pepper.new", F_OK, 0), -1);
	assert_int_equal(faccessat(s->keys, "pepper", F_OK, 0), 0);

	/* readable by others: refused, whoever asks */
	assert_int_equal(fchmodat(s->keys, "pepper", 0640, 0), 0);
	assert_int_equal(get(ROLE_KEYS, l, FILE_PEPPER, FILE_READ, &none), E_DENIED);
	assert_non_null(strstr(s->why, "chmod 600"));
	unlinkat(s->keys, "pepper", 0);
	leave(ROLE_KEYS, &l);
}

/* A process that asks for what is not its own is ended.  Its place is taken by a sleeping one here.
 */
static bool ended_for(enum role role, u32 file, u32 mode)
{
	struct m_file_get g = {file, 0, mode};
	struct ipc_msg m = {.id = 1, .body = &g, .fd = -1};
	struct ipc_link *l = join(role);
	pid_t pid = fork();
	int status;
	bool killed;

	if (pid == 0) {
		pause();
		_exit(0);
	}
	s->child[role].pid = pid;
	files_get(s, role, &m);
	killed = waitpid(pid, &status, WNOHANG) == pid || ipc_wants_write(s->child[role].link);
	if (!killed) { /* the kill may not have arrived yet; an answer would have */
		struct ipc_msg a;
		killed = ipc_recv(l, &a) == E_MORE;
		if (!killed && a.fd >= 0)
			close(a.fd);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	s->child[role].pid = 0;
	leave(role, &l);
	return killed;
}

static void test_files_are_not_for_all(void **state)
{
	for (u32 file = 0; file < FILE_N; file++) {
		bool of_keys = file <= FILE_EXTERNAL_KEY || file == FILE_PEPPER;
		bool of_auth = file >= FILE_AUTH_DIR && file <= FILE_BOOTSTRAP_SECRET;
		assert_true(ended_for(ROLE_BROKER, file, FILE_READ));
		assert_true(ended_for(ROLE_BROKER, file, FILE_NEW));
		assert_true(ended_for(ROLE_ADMIN, file, FILE_READ));
		assert_true(ended_for(ROLE_AUTH, file, FILE_NEW));
		assert_int_equal(ended_for(ROLE_AUTH, file, FILE_READ), !of_auth);
		assert_int_equal(ended_for(ROLE_KEYS, file, FILE_READ), !of_keys);
	}
	assert_true(ended_for(ROLE_KEYS, FILE_EXTERNAL_KEY, FILE_NEW));
	assert_true(ended_for(ROLE_KEYS, FILE_CA_KEY, 77));
	assert_true(ended_for(ROLE_KEYS, FILE_N, FILE_READ));
	assert_true(ended_for(ROLE_KEYS, UINT32_MAX, FILE_NEW));
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void expect_file(struct ipc_link *l, u32 file, u32 index, const char *text)
{
	struct ipc_msg m;
	const struct m_file *f;
	char b[400] = "";

	assert_int_equal(ipc_recv(l, &m), E_OK);
	f = m.body;
	assert_int_equal(f->file, file);
	assert_int_equal(f->index, index);
	assert_int_equal(f->err, text == NULL ? E_NOT_FOUND : E_OK);
	if (text == NULL)
		return;
	assert_true(pread(m.fd, b, sizeof(b) - 1, 0) >= 0);
	assert_string_equal(b, text);
	close(m.fd);
}

/* What broker is given of the key of its store, and from where. */
static void test_store_key(void **state)
{
	struct ipc_link *l = join(ROLE_BROKER);
	char path[64];
	struct ipc_msg m;

	files_give_store_key(s); /* nothing is sealed */
	assert_int_equal(ipc_recv(l, &m), E_MORE);
	s->conf.store_encryption = true;
	s->store.key = ipc_memfd("key", SLICE_LIT("of keys"));
	files_give_store_key(s);
	expect_file(l, FILE_STORE_KEY, 0, "of keys");
	close(s->store.key);
	snprintf(path, sizeof(path), "%s/store.key", folder);
	snprintf(s->conf.store_key, sizeof(s->conf.store_key), "%s", path);
	assert_false(files_check(s, &s->conf));
	assert_non_null(strstr(s->why, "store.key"));
	put_file(path, "of a file");
	assert_true(files_check(s, &s->conf));
	files_give_store_key(s);
	expect_file(l, FILE_STORE_KEY, 0, "of a file");
	assert_int_equal(chmod(path, 0640), 0);
	assert_false(files_check(s, &s->conf));
	assert_non_null(strstr(s->why, "chmod 600"));
	snprintf(s->conf.store_key, sizeof(s->conf.store_key), "credential:store.key");
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_false(files_check(s, &s->conf));
	assert_non_null(strstr(s->why, "LoadCredential="));
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	files_give_store_key(s);
	expect_file(l, FILE_STORE_KEY, 0, "of a file");
	unsetenv("CREDENTIALS_DIRECTORY");
	unlink(path);
	leave(ROLE_BROKER, &l);
}

/* Secrets in the order of the document, each device's token before its password. */
static void test_bootstrap_secrets(void **state)
{
	struct ipc_link *l = join(ROLE_AUTH);
	char policy[700], one[64], two[64], path[64];
	struct ipc_msg m;
	int none;

	snprintf(one, sizeof(one), "%s/one", folder);
	snprintf(two, sizeof(two), "%s/two", folder);
	put_file(one, "first");
	put_file(two, "second");
	snprintf(path, sizeof(path), "%s/first.policy", folder);
	snprintf(policy, sizeof(policy),
		 "role r { publish a }\ndevice a { role r; token-file %s }\nuser b { role r; "
		 "password-file %s }\n",
		 one, two);
	put_file(path, policy);
	snprintf(s->conf.bootstrap, sizeof(s->conf.bootstrap), "%s", path);
	assert_true(files_check(s, &s->conf));
	s->auth = open(folder, O_RDONLY | O_DIRECTORY);
	files_give_auth(s);
	assert_int_equal(ipc_recv(l, &m), E_OK);
	assert_int_equal(((const struct m_file *)m.body)->file, FILE_AUTH_DIR);
	close(m.fd);
	expect_file(l, FILE_BOOTSTRAP, 0, policy);
	assert_int_equal(ipc_recv(l, &m), E_MORE); /* secrets only when asked for */
	secret_is(l, 1, "second");
	assert_null(s->first); /* nobody starts: what was parsed is not kept */
	s->phase = PH_STARTING;
	secret_is(l, 0, "first");
	assert_non_null(s->first);
	secret_is(l, 1, "second");
	assert_int_equal(get_nth(ROLE_AUTH, l, FILE_BOOTSTRAP_SECRET, 2, FILE_READ, &none),
			 E_NOT_FOUND);
	files_started(s);
	s->phase = PH_SERVING;
	close(s->auth);

	put_file(path, "role r {\n  publis a\n}\n");
	assert_false(files_check(s, &s->conf));
	assert_non_null(strstr(s->why, "first.policy:2:"));
	unlink(path);
	s->first_start = true;
	assert_false(files_check(s, &s->conf));
	assert_non_null(strstr(s->why, "correct bootstrap"));
	s->first_start = false; /* it has done its work: it may be gone */
	assert_true(files_check(s, &s->conf));
	unlink(one);
	unlink(two);
	leave(ROLE_AUTH, &l);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_lines),
		T(test_say_is_one_line),
		T(test_log_turns_over),
		T(test_every_address),
		T(test_busy_port_is_explained),
		T(test_address_that_is_not_here),
		T(test_interface_that_is_not_here),
		T(test_unix_socket),
		T(test_unix_socket_left_over),
		T(test_unix_socket_in_a_bad_place),
		T(test_reload_keeps_sockets),
		T(test_new_file_counts_when_committed),
		T(test_files_are_not_for_all),
		T(test_store_key),
		T(test_bootstrap_secrets),
	};
	int failed;
	char command[64];

	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(folder));
	log_setup("supervisor", LOG_INFO);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command) != 0 || failed;
}
