/* store: the noun store: the sessions, queues and retained messages on disk, as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/out.h"
#include "cli/report.h"
#include "ipc/codes.h"

enum { PATH_MAX_BYTES = 4096 };

static unsigned long long num(const json_t *j, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(j, key));

	return v > 0 ? (unsigned long long)v : 0;
}

static bool is(const json_t *j, const char *key)
{
	return json_is_true(json_object_get(j, key));
}

/* ---- status ---------------------------------------------------------------------------------- */
bool report_store(FILE *f, const json_t *s)
{
	char size[32], most[32];
	unsigned long long up_s = MAX(num(s, "up_ms") / 1000, 1ull);
	bool trouble = json_string_length(json_object_get(s, "trouble")) > 0;

	out_word(f, "store");
	if (!is(s, "persistent")) {
		fputs("off: sessions and retained messages end with picketd\n", f);
		return true;
	}
	out_size(num(s, "bytes"), size, sizeof(size));
	out_size(num(s, "map_bytes"), most, sizeof(most));
	fprintf(f,
		"%s of %s  %llu sessions  %llu queued  %llu retained  %llu commits (%llu/s)%s%s\n",
		size, most, num(s, "sessions"), num(s, "queued"), num(s, "retained"),
		num(s, "commits"), num(s, "commits") / up_s, is(s, "sealed") ? "  sealed" : "",
		is(s, "full") ? "  FULL: new durable work is refused" : "");
	if (trouble) {
		out_word(f, "ALARM");
		out_member(f, s, "trouble");
		fputc('\n', f);
	}
	return !trouble && !is(s, "full");
}

static void status_tell(FILE *f, const json_t *s)
{
	char inside[32];

	report_store(f, s);
	if (!is(s, "persistent"))
		return;
	out_size(num(s, "free_bytes"), inside, sizeof(inside));
	out_word(f, "place");
	out_member(f, s, "path");
	fprintf(f, "  %s of it free\n", inside);
	out_word(f, "holds");
	fprintf(f,
		"%llu sessions, %llu subscriptions, %llu queued messages (%llu of them shared "
		"bodies), %llu retained\n",
		num(s, "sessions"), num(s, "subs"), num(s, "queued"), num(s, "messages"),
		num(s, "retained"));
	out_word(f, "work");
	fprintf(f, "%llu operations in %llu commits, %llu syncs since the start\n",
		num(s, "operations"), num(s, "commits"), num(s, "syncs"));
	out_word(f, "opened");
	fprintf(f, "time %llu, %s\n", num(s, "epoch"),
		is(s, "clean") ? "after an orderly end" : "after an end out of order");
}

int cmd_store_status(struct cli *c)
{
	json_t *s;
	bool well;
	int rc = ask_json(c, "/v1/store", NULL, &s);

	if (rc != 0)
		return rc;
	well = !is(s, "full") && json_string_length(json_object_get(s, "trouble")) == 0;
	if (cli_has(c, OPT_JSON))
		out_json(c->out, s);
	else
		status_tell(c->out, s);
	json_decref(s);
	return well ? CLI_DONE : CLI_WARNED;
}

/* ---- check ----------------------------------------------------------------------------------- */
int cmd_store_check(struct cli *c)
{
	json_t *r;
	bool sound;
	int rc = ask_json_long(c, "/v1/store/check", json_object(), &r);

	if (rc != 0)
		return rc;
	sound = is(r, "sound");
	if (cli_has(c, OPT_JSON)) {
		out_json(c->out, r);
	} else if (sound) {
		out_word(c->out, "sound");
		fprintf(c->out, "%llu records were read\n", num(r, "records"));
	} else {
		out_word(c->out, "DAMAGED");
		fprintf(c->out, "%llu of %llu records cannot be read\n", num(r, "damaged"),
			num(r, "records"));
		out_line(
			c->out, "next",
			"restart picketd: what can be read is saved, the rest is set aside; or put "
			"a backup in its place: picket store restore FILE");
	}
	json_decref(r);
	return sound ? CLI_DONE : CLI_WARNED;
}

/* ---- backup ---------------------------------------------------------------------------------- */
static int file_refuse(struct cli *c, u32 code, const char *path, int why)
{
	char text[PATH_MAX_BYTES + 200];

	snprintf(text, sizeof(text), "%s: %s", path, strerror(why));
	return out_refuse(c, code, text);
}

/* Nothing of a backup that broke off is left to be taken for one. */
static int backup_end(struct cli *c, const char *path, const char *temp, int fd, int rc)
{
	bool done = rc == 0 && fsync(fd) == 0;

	if (close(fd) != 0)
		done = false;
	if (rc == 0 && !done)
		rc = file_refuse(c, CODE_FILE_WRITE, path, errno);
	else if (rc == 0 && renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) != 0)
		rc = file_refuse(c, errno == EEXIST ? CODE_FILE_EXISTS : CODE_FILE_WRITE, path,
				 errno);
	if (rc != 0)
		unlink(temp);
	return rc;
}

static int backup_take(struct cli *c, int fd, const char *path)
{
	struct answer a;
	enum err e = client_download(c->run_dir, "/v1/store/backup", fd, &a);
	int rc;

	if (e == E_IO && errno != 0)
		return file_refuse(c, CODE_FILE_WRITE, path, errno);
	if (e == E_SHORT)
		return out_refuse(c, CODE_STORE_FAILED, "the backup broke off");
	if (e != E_OK)
		return ask_failed(c, e);
	rc = a.status == 200 ? 0 : ask_refused(c, &a);
	answer_free(&a);
	return rc;
}

static void backup_tell(struct cli *c, const char *path, u64 bytes)
{
	char size[32];

	if (cli_has(c, OPT_JSON)) {
		json_t *j = json_pack("{s:s,s:I}", "file", path, "bytes", (json_int_t)bytes);

		out_json(c->out, j);
		json_decref(j);
		return;
	}
	out_size(bytes, size, sizeof(size));
	out_line(c->out, "changed", "nothing in picketd; a copy of the store was made");
	out_word(c->out, "file");
	out_escaped(c->out, slice_str(path));
	fprintf(c->out, "  %s\n", size);
	fputs("effect   whoever has this file can read the messages in it, unless the store is "
	      "sealed\n"
	      "undo     delete the file\n"
	      "next     keep it off this machine; to use it: picket store restore FILE\n",
	      c->out);
}

static int backup_to_file(struct cli *c, const char *path)
{
	char temp[PATH_MAX_BYTES];
	struct stat st;
	int fd, rc;

	if (snprintf(temp, sizeof(temp), "%s.part-XXXXXX", path) >= (int)sizeof(temp))
		return file_refuse(c, CODE_FILE_WRITE, path, ENAMETOOLONG);
	if (lstat(path, &st) == 0)
		return file_refuse(c, CODE_FILE_EXISTS, path, EEXIST);
	fd = mkostemp(temp, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return file_refuse(c, CODE_FILE_WRITE, path, errno);
	rc = backup_take(c, fd, path);
	st.st_size = 0;
	(void)fstat(fd, &st);
	rc = backup_end(c, path, temp, fd, rc);
	if (rc == 0)
		backup_tell(c, path, (u64)st.st_size);
	return rc;
}

int cmd_store_backup(struct cli *c)
{
	if (strcmp(c->arg[0], "-") != 0)
		return backup_to_file(c, c->arg[0]);
	if (isatty(fileno(c->out))) {
		fputs("usage    a backup is no text: send it to a file or through a pipe\n",
		      c->err);
		return CLI_USAGE;
	}
	fflush(c->out);
	return backup_take(c, fileno(c->out), "standard output");
}

/* ---- restore --------------------------------------------------------------------------------- */
static int rereport_store(struct cli *c, const struct answer *a)
{
	json_t *r = json_loadb((const char *)a->data, a->n, 0, NULL);

	if (!json_is_object(r)) {
		json_decref(r);
		return out_refuse(c, CODE_BAD_ANSWER, "not a JSON object");
	}
	if (cli_has(c, OPT_JSON)) {
		out_json(c->out, r);
	} else {
		out_line(c->out, "changed", "the backup is the store now");
		out_line(
			c->out, "effect",
			"sessions, queues and retained messages are as they were when it was made");
		out_word(c->out, "undo");
		fputs("the store from before is kept as ", c->out);
		out_member(c->out, r, "before");
		fputs("\nnext     picket store status; when all is well, delete that folder\n",
		      c->out);
	}
	json_decref(r);
	return CLI_DONE;
}

static int restore_send(struct cli *c, int fd, u64 size)
{
	struct answer a;
	enum err e = client_upload(c->run_dir, "/v1/store/restore", fd, size, &a);
	int rc;

	if (e != E_OK)
		return ask_failed(c, e);
	rc = a.status == 200 ? rereport_store(c, &a) : ask_refused(c, &a);
	answer_free(&a);
	return rc;
}

int cmd_store_restore(struct cli *c)
{
	struct stat st;
	int fd = open(c->arg[0], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;

	if (fd < 0)
		return file_refuse(c, CODE_FILE_READ, c->arg[0], errno);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
		close(fd);
		return out_refuse(c, CODE_FILE_READ, "a backup is a file, and not an empty one");
	}
	if (!confirmed(c, "All connections are closed, and what was stored since the backup was "
			  "made is put aside. Go on?")) {
		close(fd);
		return out_refuse(c, CODE_NOT_CONFIRMED, NULL);
	}
	rc = cli_has(c, OPT_DRY_RUN) ? CLI_DONE : restore_send(c, fd, (u64)st.st_size);
	if (cli_has(c, OPT_DRY_RUN))
		out_line(c->out, "would",
			 "close all connections and put the backup in the store's place");
	close(fd);
	return rc;
}
