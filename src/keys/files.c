/* files: reads and writes through the supervisor, which opens by enumerated name.  A write is a
 * temporary that is renamed into place; only then does it count. */
#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "keys/keys_i.h"

static struct job *job_new(struct keys *k, u32 file, u32 index)
{
	for (u32 i = 0; i < KEYS_JOBS; i++) {
		struct job *j = &k->job[i];
		if (j->state != JOB_FREE)
			continue;
		*j = (struct job){.id = ++k->last_id, .file = file, .index = index};
		return j;
	}
	UNREACHABLE("every kind of file is asked for once at a time");
}

static void job_free(struct job *j)
{
	sbuf_free(&j->content);
	*j = (struct job){.state = JOB_FREE};
}

static void ask(struct keys *k, struct job *j, enum ipc_type type, u32 mode)
{
	struct m_file_get m = {j->file, j->index, mode};

	if (child_send(k->child, ROLE_SUP, type, j->id, &m, SLICE_NONE, -1) != E_OK)
		child_quit(k->child, 1);
}

void files_read(struct keys *k, u32 file, u32 index, keys_read_fn *read)
{
	struct job *j = job_new(k, file, index);

	j->state = JOB_READ;
	j->read = read;
	ask(k, j, IPC_FILE_GET, FILE_READ);
}

void files_write(struct keys *k, u32 file, struct slice content, keys_written_fn *written)
{
	struct job *j = job_new(k, file, 0);

	j->state = JOB_OPEN;
	j->written = written;
	sbuf_copy(&j->content, content);
	ask(k, j, IPC_FILE_GET, FILE_NEW);
}

/* All of it, up to PEM_FILE_MAX. */
static enum err read_all(int fd, struct sbuf *b)
{
	size_t n = 0;

	sbuf_new(b, PEM_FILE_MAX + 1);
	while (n < b->n) {
		ssize_t got = read(fd, b->p + n, b->n - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return E_IO;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return n <= PEM_FILE_MAX ? (b->n = n, E_OK) : E_TOO_LARGE;
}

static enum err write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return E_IO;
		s = slice_skip(s, (size_t)n);
	}
	return E_OK;
}

static void finish_read(struct keys *k, struct job *j, int fd, enum err e)
{
	struct job done = *j;
	struct sbuf b = {NULL, 0};

	job_free(j);
	if (e == E_OK)
		e = fd >= 0 ? read_all(fd, &b) : E_IPC;
	done.read(k, done.file, done.index, e, e == E_OK ? sbuf_slice(&b) : SLICE_NONE);
	OPENSSL_secure_clear_free(b.p, b.p != NULL ? PEM_FILE_MAX + 1 : 0);
}

static void finish_write(struct keys *k, struct job *j, enum err e)
{
	struct job done = *j;

	job_free(j);
	if (done.written != NULL)
		done.written(k, done.file, e);
}

static void fill(struct keys *k, struct job *j, int fd, enum err e)
{
	if (e == E_OK)
		e = fd >= 0 ? write_all(fd, sbuf_slice(&j->content)) : E_IPC;
	if (e != E_OK) {
		finish_write(k, j, e);
		return;
	}
	j->state = JOB_COMMIT;
	ask(k, j, IPC_FILE_COMMIT, FILE_NEW);
}

void files_message(struct keys *k, struct ipc_msg *m)
{
	const struct m_file *f = m->body;
	enum err e = f->err < E_N ? (enum err)f->err : E_IO;
	struct job *j = NULL;

	for (u32 i = 0; i < KEYS_JOBS && j == NULL; i++) {
		if (k->job[i].state != JOB_FREE && k->job[i].id == m->id)
			j = &k->job[i];
	}
	if (j == NULL || j->file != f->file || j->index != f->index)
		return; /* handed over without being asked for: read again when needed */
	if (j->state == JOB_READ)
		finish_read(k, j, m->fd, e);
	else if (j->state == JOB_OPEN)
		fill(k, j, m->fd, e);
	else
		finish_write(k, j, e);
}

void files_drop(struct keys *k)
{
	for (u32 i = 0; i < KEYS_JOBS; i++)
		job_free(&k->job[i]);
}
