/* supervisor_files: files for processes that may open none: by enumerated name, and only what the
 * row of a file gives a role.  A new file is a temporary that counts once it is synced and renamed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/supervisor.h"

enum { BOOTSTRAP_BYTES_MAX = 1024 * 1024 };
#define R_(name) (1u << ROLE_##name)

static const struct {
	const char *name, *temp; /* in keys/; NULL: the place is in the configuration */
	u32 read, write;	 /* sets of roles */
	bool secret;		 /* must be readable by its owner alone */
} files[FILE_N] = {
	[FILE_CA_KEY] = {"ca.key", ".ca.key.new", R_(KEYS), R_(KEYS), true},
	[FILE_CA_CERT] = {"ca.crt", ".ca.crt.new", R_(KEYS), R_(KEYS), false},
	[FILE_SERVER_KEY] = {"server.key", ".server.key.new", R_(KEYS), R_(KEYS), true},
	[FILE_SERVER_CERT] = {"server.crt", ".server.crt.new", R_(KEYS), R_(KEYS), false},
	[FILE_PEPPER] = {"pepper", ".pepper.new", R_(KEYS), R_(KEYS), true},
	[FILE_EXTERNAL_CERT] = {NULL, NULL, R_(KEYS), 0, false},
	[FILE_EXTERNAL_KEY] = {NULL, NULL, R_(KEYS), 0, true},
	[FILE_AUTH_DIR] = {NULL, NULL, R_(AUTH), 0, false},
	[FILE_BOOTSTRAP] = {NULL, NULL, R_(AUTH), 0, false},
	[FILE_BOOTSTRAP_SECRET] = {NULL, NULL, R_(AUTH), 0, true},
	[FILE_LOG] = {NULL, NULL, 0, 0, false},
	[FILE_STORE_KEY] = {NULL, NULL, 0, 0, true},
};

static enum err errno_err(void)
{
	return errno == ENOENT || errno == ENOTDIR ? E_NOT_FOUND
	       : errno == EACCES		   ? E_DENIED
						   : E_IO;
}

/* A regular file; a secret one that others may read is refused, whoever asks. */
static enum err open_checked(struct sup *s, int at, const char *path, bool secret, int *fd)
{
	struct stat st;

	*fd = openat(at, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return errno_err();
	if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (!secret || !(st.st_mode & 077))
			return E_OK;
		snprintf(s->why, sizeof(s->why), "%s can be read by others; run chmod 600 on it",
			 path);
		sup_say(s, LOG_ERROR, "file", "%s", s->why);
	}
	close(*fd);
	*fd = -1;
	return E_DENIED;
}

/* ---- the bootstrap policy and the secrets it names ---- */
static enum err bootstrap_parse(struct sup *s, const char *path, struct policy_doc **doc)
{
	char *text = malloc(BOOTSTRAP_BYTES_MAX + 1);
	struct policy_error pe = {0};
	enum err e;
	ssize_t n;
	int fd;

	*doc = NULL;
	e = text == NULL ? E_NOMEM : open_checked(s, AT_FDCWD, path, false, &fd);
	if (e != E_OK) {
		snprintf(s->why, sizeof(s->why),
			 "bootstrap %s: %s; correct bootstrap in the configuration", path,
			 err_text(e));
		free(text);
		return e;
	}
	n = read(fd, text, BOOTSTRAP_BYTES_MAX + 1);
	close(fd);
	e = n < 0 || n > BOOTSTRAP_BYTES_MAX
		    ? E_TOO_LARGE
		    : policy_parse(slice_of(text, (size_t)n), POLICY_FIRST, doc, &pe);
	free(text);
	if (e != E_OK)
		snprintf(s->why, sizeof(s->why), "%s:%u: %s%s%s; %s", path, pe.line, pe.what,
			 pe.near[0] ? " near " : "", pe.near, pe.hint);
	return e;
}

/* The nth secret file: identities in the order of the document, token-file before password-file. */
static bool bootstrap_secret(const struct policy_doc *doc, u32 index, char *path, size_t cap)
{
	u32 n = 0;

	for (u32 i = 0; i < policy_identity_count(doc); i++) {
		struct policy_identity_view v;
		policy_identity_at(doc, i, &v);
		const char *named[] = {v.token_file, v.password_file};
		for (u32 k = 0; k < ARRAY_LEN(named); k++) {
			if (named[k] == NULL || n++ != index)
				continue;
			snprintf(path, cap, "%s", named[k]);
			return true;
		}
	}
	return false;
}

/* Parsed once a start, not once a secret: a fleet's policy names thousands. */
static enum err bootstrap_secret_open(struct sup *s, u32 index, int *fd)
{
	char path[1024];
	enum err e = s->first != NULL ? E_OK : bootstrap_parse(s, s->conf.bootstrap, &s->first);

	*fd = -1;
	if (e == E_OK)
		e = bootstrap_secret(s->first, index, path, sizeof(path))
			    ? open_checked(s, AT_FDCWD, path, true, fd)
			    : E_NOT_FOUND;
	if (s->phase != PH_STARTING && s->phase != PH_CANARY)
		files_started(s);
	return e;
}

void files_started(struct sup *s)
{
	policy_doc_free(&s->first);
}

/* ---- requests ---- */
/* The external certificates are those of the listeners, then the sections. */
static const char *external_path(const struct conf *c, u32 file, u32 index)
{
	u32 section = index - CONF_LISTENERS;

	if (index < c->listeners)
		return file == FILE_EXTERNAL_CERT ? c->listener[index].certificate
						  : c->listener[index].key;
	if (index < CONF_LISTENERS || section >= c->certificates)
		return "";
	return file == FILE_EXTERNAL_CERT ? c->certificate[section].file
					  : c->certificate[section].key;
}

static enum err open_named(struct sup *s, u32 file, u32 index, int *fd)
{
	/* While a new configuration is offered, keys judges the certificates that it names. */
	const struct conf *c = s->phase == PH_OFFERED ? &s->next : &s->conf;
	bool secret = files[file].secret;
	const char *path;

	*fd = -1;
	switch (file) {
	case FILE_EXTERNAL_CERT:
	case FILE_EXTERNAL_KEY:
		path = external_path(c, file, index);
		return path[0] == '\0' ? E_NOT_FOUND : open_checked(s, AT_FDCWD, path, secret, fd);
	case FILE_AUTH_DIR:
		*fd = fcntl(s->auth, F_DUPFD_CLOEXEC, 0);
		return *fd < 0 ? E_IO : E_OK;
	case FILE_BOOTSTRAP:
		return s->conf.bootstrap[0] == '\0'
			       ? E_NOT_FOUND
			       : open_checked(s, AT_FDCWD, s->conf.bootstrap, secret, fd);
	case FILE_BOOTSTRAP_SECRET:
		return s->conf.bootstrap[0] == '\0' ? E_NOT_FOUND
						    : bootstrap_secret_open(s, index, fd);
	default:
		return index != 0 || files[file].name == NULL
			       ? E_NOT_FOUND
			       : open_checked(s, s->keys, files[file].name, secret, fd);
	}
}

static void temp_drop(struct sup *s, u32 file)
{
	if (s->temp[file] < 0)
		return;
	close(s->temp[file]);
	s->temp[file] = -1;
	unlinkat(s->keys, files[file].temp, 0);
}

void files_forget(struct sup *s)
{
	for (u32 f = 0; f < FILE_N; f++)
		temp_drop(s, f);
}

static enum err open_new(struct sup *s, enum role from, u32 file, u32 index, int *fd)
{
	const struct sup_child *c = &s->child[from];

	*fd = -1;
	if (index != 0)
		return E_NOT_FOUND;
	temp_drop(s, file);
	if (unlinkat(s->keys, files[file].temp, 0) != 0 && errno != ENOENT)
		return E_IO;
	s->temp[file] = openat(s->keys, files[file].temp,
			       O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->temp[file] < 0)
		return E_IO;
	if (s->root && fchown(s->temp[file], c->uid, c->gid) != 0)
		return E_IO;
	*fd = fcntl(s->temp[file], F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? E_IO : E_OK;
}

static void file_answer(struct sup *s, enum role to, u64 id, const struct m_file *m, int fd)
{
	sup_send(s, to, IPC_FILE, id, m, SLICE_NONE, fd);
	if (fd >= 0)
		close(fd);
}

static bool may(const struct m_file_get *g, enum role from)
{
	if (g->file >= FILE_N)
		return false;
	return g->mode == FILE_READ  ? files[g->file].read >> from & 1
	       : g->mode == FILE_NEW ? files[g->file].write >> from & 1
				     : false;
}

void files_get(struct sup *s, enum role from, const struct ipc_msg *m)
{
	const struct m_file_get *g = m->body;
	struct m_file out = {g->file, g->index, g->mode, E_OK};
	int fd = -1;

	if (!may(g, from)) {
		child_kill(s, from, "asked for a file that is not its own");
		return;
	}
	out.err = g->mode == FILE_READ ? open_named(s, g->file, g->index, &fd)
				       : open_new(s, from, g->file, g->index, &fd);
	file_answer(s, from, m->id, &out, fd);
}

static enum err commit(struct sup *s, u32 file)
{
	if (s->temp[file] < 0)
		return E_STATE;
	if (fsync(s->temp[file]) != 0 ||
	    renameat(s->keys, files[file].temp, s->keys, files[file].name) != 0 ||
	    fsync(s->keys) != 0)
		return E_IO;
	close(s->temp[file]);
	s->temp[file] = -1;
	return E_OK;
}

void files_commit(struct sup *s, enum role from, const struct ipc_msg *m)
{
	const struct m_file_get *g = m->body;
	struct m_file out = {g->file, g->index, FILE_DONE, E_OK};

	if (g->file >= FILE_N || !(files[g->file].write >> from & 1)) {
		child_kill(s, from, "wrote a file that is not its own");
		return;
	}
	out.err = commit(s, g->file);
	if (out.err == E_IO)
		sup_say(s, LOG_ERROR, "file", "%s/keys/%s: %s; is the disk full?",
			s->conf.state_dir, files[g->file].name, strerror(errno));
	file_answer(s, from, m->id, &out, -1);
}

static void give(struct sup *s, u32 file)
{
	struct m_file out = {file, 0, FILE_READ, E_OK};
	int fd;

	out.err = open_named(s, file, 0, &fd);
	file_answer(s, ROLE_AUTH, 0, &out, fd);
}

/* The secrets it asks for, when it needs them. */
void files_give_auth(struct sup *s)
{
	files_started(s); /* the file may have changed */
	give(s, FILE_AUTH_DIR);
	give(s, FILE_BOOTSTRAP);
}

/* A credential of systemd is for us alone however its mode looks: an access list may stand there.
 */
static enum err store_key_open(struct sup *s, const struct conf *c, int *fd)
{
	const char *name = conf_store_credential(c), *folder = getenv("CREDENTIALS_DIRECTORY");
	char path[2 * CONF_PATH];

	*fd = -1;
	if (name == NULL)
		return open_checked(s, AT_FDCWD, c->store_key, true, fd);
	if (folder == NULL || folder[0] != '/')
		return E_NOT_FOUND;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return open_checked(s, AT_FDCWD, path, false, fd);
}

int files_store_key(struct sup *s)
{
	int fd = -1;

	if (!s->conf.persistence || !s->conf.store_encryption)
		return -1;
	if (strcmp(s->conf.store_key, "keys") == 0)
		return s->store.key < 0 ? -1 : fcntl(s->store.key, F_DUPFD_CLOEXEC, 0);
	return store_key_open(s, &s->conf, &fd) == E_OK ? fd : -1;
}

void files_give_store_key(struct sup *s)
{
	struct m_file out = {FILE_STORE_KEY, 0, FILE_READ, E_OK};
	int fd = -1;

	if (!s->conf.persistence || !s->conf.store_encryption)
		return;
	if (strcmp(s->conf.store_key, "keys") == 0)
		fd = fcntl(s->store.key, F_DUPFD_CLOEXEC, 0);
	else
		out.err = store_key_open(s, &s->conf, &fd);
	file_answer(s, ROLE_BROKER, 0, &out, fd);
}

static bool check_one(struct sup *s, const char *path, bool secret, const char *where)
{
	int fd;
	enum err e = open_checked(s, AT_FDCWD, path, secret, &fd);

	if (fd >= 0)
		close(fd);
	if (e != E_OK && s->why[0] == '\0')
		snprintf(s->why, sizeof(s->why), "%s %s: %s", where, path, err_text(e));
	return e == E_OK;
}

static bool check_store_key(struct sup *s, const struct conf *c)
{
	int fd;
	enum err e = store_key_open(s, c, &fd);

	if (fd >= 0)
		close(fd);
	if (e != E_OK && s->why[0] == '\0')
		snprintf(s->why, sizeof(s->why), "store_key %s: %s%s", c->store_key, err_text(e),
			 conf_store_credential(c) != NULL
				 ? "; add LoadCredential= or LoadCredentialEncrypted= to the unit"
				 : "");
	return e == E_OK;
}

bool files_check(struct sup *s, const struct conf *c)
{
	struct policy_doc *doc;
	bool ok = true;

	s->why[0] = '\0';
	for (u32 i = 0; i < c->listeners && ok; i++) {
		const struct conf_listener *l = &c->listener[i];
		if (l->certificate[0] != '\0')
			ok = check_one(s, l->certificate, false, "certificate") &&
			     check_one(s, l->key, true, "key");
	}
	if (ok && c->persistence && c->store_encryption && strcmp(c->store_key, "keys") != 0)
		ok = check_store_key(s, c);
	for (u32 i = 0; i < c->certificates && ok; i++)
		ok = check_one(s, c->certificate[i].file, false, "certificate") &&
		     check_one(s, c->certificate[i].key, true, "key");
	if (!ok || c->bootstrap[0] == '\0')
		return ok;
	/* Only a first start uses it; later it may be gone. */
	if (!s->first_start && access(c->bootstrap, F_OK) != 0 && errno == ENOENT)
		return true;
	if (bootstrap_parse(s, c->bootstrap, &doc) != E_OK)
		return false;
	policy_doc_free(&doc);
	return true;
}
