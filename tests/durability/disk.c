/* disk: preloaded into picketd by tests (never part of the product).  In the process "broker" it
 * writes down every write and sync of regular files and every byte of client connections, in one
 * order, and makes writes and syncs fail or take their time; in all processes it shifts the wall
 * clock.  Files are mapped before the sandbox closes, so that nothing but memory is needed later.
 *
 * DISK_CONTROL and DISK_LOG name the files; picketd clears its children's environment, so execve
 * puts them back. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"

#define EXPORT __attribute__((visibility("default")))
#define REAL(name)                                                                                 \
	({                                                                                         \
		static __typeof__(&name) real;                                                     \
		if (real == NULL)                                                                  \
			real = (__typeof__(&name))real_of(#name);                                  \
		real;                                                                              \
	})

enum { FD_MOST = 65536, ENV_MOST = 16 };

static struct disk_control *control;
static uint8_t *log_base;
static uint64_t log_size;
static bool recording, hurting;
/* Which connection a descriptor is; 0: none. */
static _Atomic uint64_t connection[FD_MOST];
static _Atomic uint64_t connections;

static void *real_of(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (f == NULL)
		abort();
	return f;
}

/* ---- the start ----------------------------------------------------------------------- */
static void *map_file(const char *path, uint64_t *size)
{
	struct stat st;
	void *p = MAP_FAILED;
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0)
		p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (size != NULL)
		*size = (uint64_t)st.st_size;
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static bool is_broker(void)
{
	static const char word[] = "-R\0broker";
	char text[256];
	ssize_t n;
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text));
	close(fd);
	return n > 0 && memmem(text, (size_t)n, word, sizeof(word)) != NULL;
}

__attribute__((constructor)) static void begin(void)
{
	control = map_file(getenv("DISK_CONTROL"), NULL);
	if (control != NULL && control->magic != DISK_MAGIC)
		abort();
	hurting = control != NULL && is_broker();
	if (hurting)
		log_base = map_file(getenv("DISK_LOG"), &log_size);
	recording = log_base != NULL;
}

static bool env_keep(char *out[], size_t *n, char *const env[])
{
	for (; *env != NULL; env++) {
		if (*n + 4 > ENV_MOST)
			return false;
		out[(*n)++] = *env;
	}
	return true;
}

EXPORT int execve(const char *path, char *const argv[], char *const env[])
{
	static const char *const names[] = {"LD_PRELOAD", "DISK_CONTROL", "DISK_LOG"};
	static char text[3][512];
	char *more[ENV_MOST + 1];
	size_t n = 0;

	if (!env_keep(more, &n, env))
		return REAL(execve)(path, argv, env);
	for (size_t i = 0; i < 3; i++) {
		const char *value = getenv(names[i]);
		if (value == NULL)
			continue;
		snprintf(text[i], sizeof(text[i]), "%s=%s", names[i], value);
		more[n++] = text[i];
	}
	more[n] = NULL;
	return REAL(execve)(path, argv, more);
}

/* ---- the log ------------------------------------------------------------------------- */
/* Its place in the log; UINT64_MAX: there is no room. */
static uint64_t note(enum disk_kind kind, uint64_t who, uint64_t off, uint32_t more,
		     const struct iovec *iov, int n)
{
	_Atomic uint64_t *used = (_Atomic uint64_t *)(void *)log_base;
	struct disk_entry *e;
	uint64_t at, len = 0;
	uint8_t *p;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	at = DISK_LOG_HEAD + atomic_fetch_add(used, (sizeof(*e) + len + 7) & ~7ull);
	if (at + sizeof(*e) + len > log_size)
		return UINT64_MAX;
	e = (struct disk_entry *)(void *)(log_base + at);
	e->len = (uint32_t)len;
	e->more = more;
	e->who = who;
	e->off = off;
	p = (uint8_t *)(e + 1);
	for (int i = 0; i < n; i++) {
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	atomic_store(&e->kind, kind);
	return at;
}

/* The number of a regular file that has a name; 0: it is none. */
static uint64_t file_of(int fd)
{
	struct stat st;

	if (!hurting || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink == 0)
		return 0;
	return st.st_ino;
}

static uint64_t client_of(int fd)
{
	return recording && fd >= 0 && fd < FD_MOST ? atomic_load(&connection[fd]) : 0;
}

/* ---- files --------------------------------------------------------------------------- */
static bool strikes(_Atomic uint32_t *what)
{
	static _Atomic uint32_t turn;
	uint32_t error = atomic_load(what), one_in = atomic_load(&control->one_in);

	if (error == 0 || (one_in > 1 && atomic_fetch_add(&turn, 1) % one_in != 0))
		return false;
	atomic_fetch_add(&control->failed, 1);
	errno = (int)error;
	return true;
}

/* Before a write; false: it fails. */
static bool write_begins(int fd, uint64_t file, int64_t off, const struct iovec *iov, int n,
			 uint64_t *place)
{
	bool direct;

	*place = 0;
	atomic_fetch_add(&control->writes, 1);
	if (strikes(&control->write_errno))
		return false;
	if (!recording)
		return true;
	direct = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
	if (off < 0)
		off = lseek(fd, 0, SEEK_CUR);
	*place = note(DISK_WRITE, file, (uint64_t)off, direct, iov, n);
	if (!direct)
		*place = 0;
	return true;
}

static void write_ended(uint64_t file, uint64_t place)
{
	if (place != 0)
		note(DISK_WRITTEN, file, place, 0, NULL, 0);
}

static ssize_t any_pwrite(int fd, const void *p, size_t n, off_t off)
{
	uint64_t file = file_of(fd), place;
	struct iovec iov = {(void *)(uintptr_t)p, n};
	ssize_t r;

	if (file != 0 && !write_begins(fd, file, off, &iov, 1, &place))
		return -1;
	r = REAL(pwrite)(fd, p, n, off);
	if (file != 0)
		write_ended(file, place);
	return r;
}

EXPORT ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
	return any_pwrite(fd, p, n, off);
}

EXPORT ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
	return any_pwrite(fd, p, n, off);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	uint64_t file = file_of(fd), place;
	ssize_t r;

	if (file != 0 && !write_begins(fd, file, off, iov, n, &place))
		return -1;
	r = REAL(pwritev)(fd, iov, n, off);
	if (file != 0)
		write_ended(file, place);
	return r;
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t off)
{
	return pwritev(fd, iov, n, off);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	uint64_t file = file_of(fd), place;
	ssize_t r;

	if (file != 0 && !write_begins(fd, file, -1, iov, n, &place))
		return -1;
	r = REAL(writev)(fd, iov, n);
	if (file != 0)
		write_ended(file, place);
	return r;
}

EXPORT ssize_t write(int fd, const void *p, size_t n)
{
	uint64_t file = file_of(fd), place;
	struct iovec iov = {(void *)(uintptr_t)p, n};
	ssize_t r;

	if (file != 0 && !write_begins(fd, file, -1, &iov, 1, &place))
		return -1;
	r = REAL(write)(fd, p, n);
	if (file != 0)
		write_ended(file, place);
	return r;
}

EXPORT int ftruncate(int fd, off_t n)
{
	uint64_t file = file_of(fd);

	if (file != 0 && recording)
		note(DISK_TRUNCATE, file, (uint64_t)n, 0, NULL, 0);
	return REAL(ftruncate)(fd, n);
}

EXPORT int ftruncate64(int fd, off64_t n)
{
	return ftruncate(fd, n);
}

static int any_sync(int fd, int (*real)(int fd))
{
	uint64_t file = file_of(fd);
	uint32_t delay;
	int r;

	if (file == 0)
		return real(fd);
	atomic_fetch_add(&control->syncs, 1);
	if (strikes(&control->sync_errno))
		return -1;
	delay = atomic_load(&control->sync_delay_us);
	if (delay != 0)
		nanosleep(&(struct timespec){delay / 1000000, delay % 1000000 * 1000}, NULL);
	r = real(fd);
	if (r == 0 && recording)
		note(DISK_SYNC, file, 0, 0, NULL, 0);
	return r;
}

EXPORT int fdatasync(int fd)
{
	return any_sync(fd, REAL(fdatasync));
}

EXPORT int fsync(int fd)
{
	return any_sync(fd, REAL(fsync));
}

/* ---- connections --------------------------------------------------------------------- */
EXPORT int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int got = REAL(accept4)(fd, addr, len, flags);

	if (got >= 0 && got < FD_MOST && recording) {
		atomic_store(&connection[got], atomic_fetch_add(&connections, 1) + 1);
		note(DISK_ACCEPT, client_of(got), 0, 0, NULL, 0);
	}
	return got;
}

EXPORT int close(int fd)
{
	uint64_t client = client_of(fd);

	if (client != 0) {
		note(DISK_CLOSE, client, 0, 0, NULL, 0);
		atomic_store(&connection[fd], 0);
	}
	return REAL(close)(fd);
}

/* Before bytes go to a client, and what became of them. */
static uint64_t leaving(int fd, const struct iovec *iov, int n)
{
	uint64_t client = client_of(fd);

	return client != 0 ? note(DISK_OUT, client, 0, 0, iov, n) : 0;
}

static ssize_t left(int fd, uint64_t place, ssize_t r)
{
	if (place != 0)
		note(DISK_SENT, client_of(fd), place, r > 0 ? (uint32_t)r : 0, NULL, 0);
	return r;
}

static void came(int fd, void *p, ssize_t n)
{
	uint64_t client = client_of(fd);

	if (client != 0 && n > 0)
		note(DISK_IN, client, 0, 0, &(struct iovec){p, (size_t)n}, 1);
}

EXPORT ssize_t recv(int fd, void *p, size_t n, int flags)
{
	ssize_t r = REAL(recv)(fd, p, n, flags);

	if ((flags & MSG_PEEK) == 0)
		came(fd, p, r);
	return r;
}

ssize_t __recv_chk(int fd, void *p, size_t n, size_t cap, int flags);
EXPORT ssize_t __recv_chk(int fd, void *p, size_t n, size_t cap, int flags)
{
	return n > cap ? (abort(), -1) : recv(fd, p, n, flags);
}

EXPORT ssize_t read(int fd, void *p, size_t n)
{
	ssize_t r = REAL(read)(fd, p, n);

	came(fd, p, r);
	return r;
}

ssize_t __read_chk(int fd, void *p, size_t n, size_t cap);
EXPORT ssize_t __read_chk(int fd, void *p, size_t n, size_t cap)
{
	return n > cap ? (abort(), -1) : read(fd, p, n);
}

EXPORT ssize_t send(int fd, const void *p, size_t n, int flags)
{
	uint64_t place = leaving(fd, &(struct iovec){(void *)(uintptr_t)p, n}, 1);

	return left(fd, place, REAL(send)(fd, p, n, flags));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	uint64_t place = leaving(fd, m->msg_iov, (int)m->msg_iovlen);

	return left(fd, place, REAL(sendmsg)(fd, m, flags));
}

/* ---- the clock ----------------------------------------------------------------------- */
EXPORT int clock_gettime(clockid_t which, struct timespec *t)
{
	int r = REAL(clock_gettime)(which, t);
	int64_t ns;

	if (r != 0 || control == NULL ||
	    (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE))
		return r;
	ns = t->tv_nsec + atomic_load(&control->wall_shift_ns);
	t->tv_sec += ns / 1000000000;
	t->tv_nsec = ns % 1000000000;
	if (t->tv_nsec < 0) {
		t->tv_nsec += 1000000000;
		t->tv_sec--;
	}
	return r;
}
