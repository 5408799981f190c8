/* bundle: writes folders of files, all or nothing.  What stands in the files is bundle_files.c's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "cli/bundle.h"

enum { BUNDLE_NAME_MAX = 128 };

struct bundles {
	int out, stage; /* folders */
	char stage_name[32];
	bool made_out;
	uid_t uid; /* who shall own it all; (uid_t)-1: who runs this */
	gid_t gid;
	char *out_path;
	u32 n, cap, moved; /* the first `moved` are in place */
	char (*name)[BUNDLE_NAME_MAX + 1];
};

static bool chars_ok(const char *s, const char *more, size_t max)
{
	size_t n = strlen(s);

	if (n == 0 || n > max || s[0] == '.' || s[0] == '-')
		return false;
	for (; *s != 0; s++)
		if (!((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
		      (*s >= 'A' && *s <= 'Z') || strchr(more, *s) != NULL))
			return false;
	return true;
}

bool bundle_name_ok(const char *name)
{
	return chars_ok(name, "._-:@", BUNDLE_NAME_MAX);
}

bool bundle_host_ok(const char *host)
{
	return chars_ok(host, "._-:%", 253);
}

static enum err bad(enum err e, const char *what_happened, const char *name, char *what, size_t cap)
{
	snprintf(what, cap, "%s %s: %s", what_happened, name,
		 e == E_IO ? strerror(errno) : err_text(e));
	return e;
}

static u32 id_of_env(const char *name)
{
	const char *s = getenv(name);
	u64 v;

	if (geteuid() != 0 || s == NULL || num_parse(slice_str(s), UINT32_MAX - 1, &v) != E_OK)
		return UINT32_MAX;
	return (u32)v;
}

/* Files made under sudo belong to the person who typed it, or nobody could use them. */
static bool own(const struct bundles *b, int fd)
{
	return b->uid == (uid_t)-1 || fchown(fd, b->uid, b->gid) == 0;
}

enum err bundles_begin(const char *out, struct bundles **bp, char *what, size_t cap)
{
	struct bundles *b = xcalloc(1, sizeof(*b));

	*bp = b;
	b->out = b->stage = -1;
	b->out_path = xstrdup(out);
	b->uid = (uid_t)id_of_env("SUDO_UID");
	b->gid = (gid_t)id_of_env("SUDO_GID");
	b->made_out = mkdir(out, 0700) == 0;
	if (!b->made_out && errno != EEXIST)
		return bad(E_IO, "cannot make", out, what, cap);
	b->out = open(out, O_DIRECTORY | O_CLOEXEC);
	if (b->out < 0 || (b->made_out && !own(b, b->out)))
		return bad(E_IO, "cannot open", out, what, cap);
	snprintf(b->stage_name, sizeof(b->stage_name), ".picket-%d", (int)getpid());
	if (mkdirat(b->out, b->stage_name, 0700) != 0)
		return bad(E_IO, "cannot write in", out, what, cap);
	b->stage = openat(b->out, b->stage_name, O_DIRECTORY | O_CLOEXEC);
	return b->stage >= 0 ? E_OK : bad(E_IO, "cannot open", b->stage_name, what, cap);
}

/* ---- writing
 * ------------------------------------------------------------------------------------- */

static enum err file_write(const struct bundles *b, int dir, const struct bundle_file *file,
			   const struct bundle_site *site, const char *name, const char *token)
{
	int fd =
		openat(dir, file->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool ok;

	if (f == NULL) {
		if (fd >= 0)
			close(fd);
		return E_IO;
	}
	file->write(f, site, name, token);
	ok = fflush(f) == 0 && !ferror(f) && own(b, fd);
	return fclose(f) == 0 && ok ? E_OK : E_IO;
}

static enum err files_write(const struct bundles *b, int dir, const struct bundle_site *site,
			    const char *name, const char *token)
{
	for (size_t i = 0; bundle_file_at(i) != NULL; i++) {
		enum err e = file_write(b, dir, bundle_file_at(i), site, name, token);

		if (e != E_OK)
			return e;
	}
	return E_OK;
}

static void remember(struct bundles *b, const char *name)
{
	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 32;
		b->name = xrealloc(b->name, b->cap * sizeof(b->name[0]));
	}
	snprintf(b->name[b->n++], sizeof(b->name[0]), "%s", name);
}

enum err bundles_vacant(const struct bundles *b, const char *name, char *what, size_t cap)
{
	struct stat st;

	if (!bundle_name_ok(name))
		return bad(E_RANGE, "not a name for a folder:", name, what, cap);
	if (fstatat(b->out, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return bad(E_EXISTS, "will not overwrite", name, what, cap);
	return E_OK;
}

enum err bundles_add(struct bundles *b, const struct bundle_site *site, const char *name,
		     const char *token, char *what, size_t cap)
{
	enum err e = bundles_vacant(b, name, what, cap);
	int dir;

	if (e != E_OK)
		return e;
	if (!bundle_host_ok(site->host) || !bundle_name_ok(token))
		return bad(E_RANGE, "cannot stand in a file:", site->host, what, cap);
	if (mkdirat(b->stage, name, 0700) != 0)
		return bad(E_IO, "cannot make", name, what, cap);
	remember(b, name);
	dir = openat(b->stage, name, O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return bad(E_IO, "cannot open", name, what, cap);
	if (!own(b, dir)) {
		close(dir);
		return bad(E_IO, "cannot give away", name, what, cap);
	}
	e = files_write(b, dir, site, name, token);
	if (e != E_OK)
		bad(e, "cannot write", name, what, cap);
	close(dir);
	return e;
}

/* ---- in place, or taken back
 * --------------------------------------------------------------------- */

static void folder_remove(int parent, const char *name)
{
	int dir = openat(parent, name, O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir < 0)
		return;
	for (size_t i = 0; bundle_file_at(i) != NULL; i++)
		unlinkat(dir, bundle_file_at(i)->name, 0);
	close(dir);
	unlinkat(parent, name, AT_REMOVEDIR);
}

enum err bundles_commit(struct bundles *b, char *what, size_t cap)
{
	ASSERT(b->moved == 0);
	/* Once for all files: what is in place is whole, also after a power cut. */
	if (syncfs(b->out) != 0)
		return bad(E_IO, "cannot write in", b->out_path, what, cap);
	for (; b->moved < b->n; b->moved++) {
		const char *name = b->name[b->moved];

		if (renameat2(b->stage, name, b->out, name, RENAME_NOREPLACE) != 0) {
			enum err e = errno == EEXIST ? E_EXISTS : E_IO;

			bad(e, "cannot put in place", name, what, cap);
			while (b->moved > 0)
				folder_remove(b->out, b->name[--b->moved]);
			return e;
		}
	}
	fsync(b->out);
	return E_OK;
}

void bundles_end(struct bundles **bp)
{
	struct bundles *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	for (u32 i = b->moved; i < b->n; i++)
		folder_remove(b->stage, b->name[i]);
	if (b->stage >= 0) {
		close(b->stage);
		unlinkat(b->out, b->stage_name, AT_REMOVEDIR);
	}
	if (b->out >= 0)
		close(b->out);
	if (b->made_out && b->moved == 0)
		rmdir(b->out_path);
	free(b->name);
	free(b->out_path);
	free(b);
}
