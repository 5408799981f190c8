/* bootstrap: the first policy, applied once.  See bootstrap.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/bootstrap.h"
#include "auth/call.h"
#include "auth/policy.h"
#include "base/log.h"
#include "base/mem.h"

enum { LIM_TEXT = 1 << 20, LIM_SECRETS = 4096, LIM_SECRET = 4096, LIM_ASKED = 256 };

struct boot_secret {
	const char *path; /* views doc */
	struct secret text;
	bool there;
};
struct bootstrap {
	char *text;
	struct policy_doc *doc;
	struct boot_secret *secret;
	u32 nsecrets, missing;
	u32 asked, next; /* secrets on their way; the first that was not asked for */
	bool asked_text, absent;
	char why[512]; /* what went wrong; "": nothing yet */
};

static struct bootstrap *boot_of(struct auth *a)
{
	if (a->boot == NULL)
		a->boot = xcalloc(1, sizeof(*a->boot));
	return a->boot;
}

void bootstrap_free(struct auth *a)
{
	struct bootstrap *b = a->boot;

	a->boot = NULL;
	if (b == NULL)
		return;
	for (u32 i = 0; i < b->nsecrets; i++)
		secret_clear(&b->secret[i].text);
	free(b->secret);
	policy_doc_free(&b->doc);
	free(b->text);
	free(b);
}

/* ---- the text ------------------------------------------------------------------------- */
/* What went wrong is said only when it turns out to matter: a store that is not empty needs none of
 * this. */
PRINTF(2, 3) static void boot_fail(struct bootstrap *b, const char *fmt, ...)
{
	va_list ap;

	if (b->why[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(b->why, sizeof(b->why), fmt, ap);
	va_end(ap);
}

static void path_add(struct bootstrap *b, const char *path)
{
	if (path == NULL)
		return;
	if (b->nsecrets >= LIM_SECRETS) {
		boot_fail(b, "more than %d secret files", LIM_SECRETS);
		return;
	}
	b->secret = xrealloc(b->secret, (b->nsecrets + 1) * sizeof(*b->secret));
	memset(&b->secret[b->nsecrets], 0, sizeof(*b->secret));
	b->secret[b->nsecrets++].path = path;
}

static void text_parse(struct auth *a, struct bootstrap *b)
{
	struct policy_identity_view v;
	struct policy_error pe = {0};

	if (policy_parse(slice_str(b->text), POLICY_FIRST, &b->doc, &pe) != E_OK) {
		boot_fail(b, "%s:%u:%u: %s near %s; %s", a->conf.bootstrap, pe.line, pe.column,
			  pe.what, pe.near, pe.hint);
		return;
	}
	for (u32 i = 0; i < policy_identity_count(b->doc); i++) {
		policy_identity_at(b->doc, i, &v);
		path_add(b, v.token_file);
		path_add(b, v.password_file);
	}
	b->missing = b->nsecrets;
}

/* ---- files ---------------------------------------------------------------------------- */
static enum err file_read(int fd, size_t most, char **out)
{
	char *buf = xmalloc(most + 1);
	size_t n = 0;
	ssize_t got;

	while ((got = pread(fd, buf + n, most + 1 - n, (off_t)n)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		n += got < 0 ? 0 : (size_t)got;
		if (got < 0 || n > most)
			break;
	}
	if (got == 0 && memchr(buf, 0, n) == NULL) {
		buf[n] = '\0';
		*out = buf;
		return E_OK;
	}
	mem_wipe(buf, most + 1);
	free(buf);
	return E_IO;
}

static void text_take(struct auth *a, struct bootstrap *b, const struct m_file *m, int fd)
{
	enum err e = (enum err)m->err;

	if (b->text != NULL)
		return;
	if (e == E_OK)
		e = file_read(fd, LIM_TEXT, &b->text);
	if (e == E_OK)
		text_parse(a, b);
	else if (e == E_NOT_FOUND)
		b->absent = true;
	else
		boot_fail(b, "%s cannot be read: %s", a->conf.bootstrap, err_text(e));
}

static void secret_take(struct bootstrap *b, const struct m_file *m, int fd)
{
	struct boot_secret *s;
	char *text = NULL;
	enum err e = (enum err)m->err;

	b->asked -= b->asked != 0;
	if (m->index >= b->nsecrets || b->secret[m->index].there)
		return;
	s = &b->secret[m->index];
	if (e == E_OK)
		e = file_read(fd, LIM_SECRET, &text);
	if (e != E_OK) {
		boot_fail(b, "secret file %s cannot be read: %s", s->path,
			  e == E_DENIED ? "only its owner may be able to read it (chmod 600)"
					: err_text(e));
		return;
	}
	/* One line, as an editor or echo leaves it. */
	s->text.n = MIN(strcspn(text, "\r\n"), sizeof(s->text.b));
	memcpy(s->text.b, text, s->text.n);
	s->there = true;
	b->missing--;
	mem_wipe(text, strlen(text));
	free(text);
}

enum err bootstrap_file(struct auth *a, const struct m_file *m, int fd)
{
	if (a->has_boot)
		return E_OK;
	if (m->err == E_OK && fd < 0)
		return E_IPC;
	if (m->file == FILE_BOOTSTRAP)
		text_take(a, boot_of(a), m, fd);
	else
		secret_take(boot_of(a), m, fd);
	return E_OK;
}

/* ---- applying ------------------------------------------------------------------------- */
/* A token from elsewhere that is not random enough is what a person chose, and is kept as such. */
static enum err secret_store(struct auth *a, const char *name, u64 id, const char *path,
			     struct slice s, bool token)
{
	u8 keyed[TOKEN_HASH];
	char slow[HASH_TEXT];
	const char *why;
	u32 number;
	enum err e;

	if (token && token_strong(s)) {
		token_hash(a->token_key, s, keyed);
		return credential_add(a->db, id, CRED_TOKEN, slice_of(keyed, sizeof(keyed)),
				      auth_wall(a), &number);
	}
	why = password_refuse(s, name);
	if (why != NULL) {
		log_msg(LOG_ERROR, "bootstrap",
			"%s: the secret of %s was not taken: %s; "
			"make one with: openssl rand -hex 16",
			path, name, why);
		return E_CONFIG;
	}
	e = password_hash(s, slow);
	if (e == E_OK)
		e = credential_add(a->db, id, CRED_PASSWORD, slice_str(slow), auth_wall(a),
				   &number);
	mem_wipe(slow, sizeof(slow));
	return e;
}

/* next: which secret file is this identity's first. */
static enum err secrets_store(struct auth *a, struct bootstrap *b,
			      const struct policy_identity_view *v, u32 *next)
{
	const char *files[2] = {v->token_file, v->password_file};
	struct identity i;
	enum err e = identity_by_name(a->db, slice_str(v->name), &i);

	for (u32 k = 0; e == E_OK && k < ARRAY_LEN(files); k++) {
		const struct boot_secret *s;
		if (files[k] == NULL)
			continue;
		ASSERT(*next < b->nsecrets);
		s = &b->secret[(*next)++];
		ASSERT(s->there);
		e = secret_store(a, v->name, i.id, s->path, slice_of(s->text.b, s->text.n), k == 0);
	}
	return e;
}

static enum err boot_rows(struct auth *a, struct call *c, struct bootstrap *b)
{
	struct policy_identity_view v;
	json_t *created = json_array();
	u32 next = 0;
	enum err e = policy_write(a, c, b->doc, false, created);

	for (u32 n = 0; e == E_OK && !c->stopped && n < policy_identity_count(b->doc); n++) {
		policy_identity_at(b->doc, n, &v);
		e = secrets_store(a, b, &v, &next);
	}
	if (e == E_OK)
		e = db_meta_put_num(a->db, "bootstrap", auth_wall(a));
	json_decref(created);
	return e;
}

static enum err boot_apply(struct auth *a, struct bootstrap *b)
{
	struct call nobody = {.auth = a, .op = "bootstrap", .reply = json_object()};
	u32 roles = policy_role_count(b->doc), identities = policy_identity_count(b->doc);
	enum err e = change_begin(a, &nobody.change);

	if (e == E_OK)
		e = boot_rows(a, &nobody, b);
	if (e == E_OK && nobody.stopped) {
		log_msg(LOG_ERROR, "bootstrap", "%s: %s", a->conf.bootstrap,
			json_string_value(
				json_object_get(json_object_get(nobody.reply, "error"), "text")));
		e = E_CONFIG;
	}
	if (e == E_OK)
		e = change_commit(a, &nobody.change, NULL);
	change_abort(a, &nobody.change);
	json_decref(nobody.reply);
	if (e == E_OK)
		log_msg(LOG_INFO, "bootstrap", "%s applied: %u roles, %u identities",
			a->conf.bootstrap, roles, identities);
	else
		log_msg(LOG_ERROR, "bootstrap", "%s not applied: %s", a->conf.bootstrap,
			err_text(e));
	return e;
}

/* ---- going on ------------------------------------------------------------------------- */
/* The store is empty, so what came so far counts. */
static enum err boot_check(struct auth *a)
{
	struct bootstrap *b = a->boot;

	if (b != NULL && b->why[0] != '\0') {
		log_msg(LOG_ERROR, "bootstrap", "%s", b->why);
		return E_CONFIG;
	}
	if (b != NULL && b->absent) {
		log_msg(LOG_INFO, "bootstrap", "no first policy at %s", a->conf.bootstrap);
		a->has_boot = true;
	}
	return E_OK;
}

enum err bootstrap_prepare(struct auth *a)
{
	struct people_count n;
	u64 when;
	enum err e = people_count(a->db, &n);

	ASSERT(a->has_conf);
	if (e != E_OK)
		return e;
	a->has_boot = a->conf.bootstrap[0] == '\0' || n.roles != 0 ||
		      n.kind[0] + n.kind[1] + n.kind[2] != 0 ||
		      db_meta_num(a->db, "bootstrap", &when) == E_OK;
	return a->has_boot ? E_OK : boot_check(a);
}

/* So many at a time that neither side's queue overflows. */
static enum err secrets_ask(struct auth *a, struct bootstrap *b)
{
	enum err e = E_OK;

	for (; e == E_OK && b->asked < LIM_ASKED && b->next < b->nsecrets; b->next++) {
		if (b->secret[b->next].there)
			continue;
		e = a->env->file_get(a->env->arg, FILE_BOOTSTRAP_SECRET, b->next);
		b->asked++;
	}
	return e;
}

/* Ask for what the supervisor has not handed over by itself. */
static enum err boot_ask(struct auth *a, struct bootstrap *b)
{
	if (b->text != NULL)
		return b->missing != 0 && b->asked == 0 ? secrets_ask(a, b) : E_OK;
	if (b->asked_text)
		return E_OK;
	b->asked_text = true;
	return a->env->file_get(a->env->arg, FILE_BOOTSTRAP, 0);
}

static enum err boot_step(struct auth *a, struct bootstrap *b)
{
	enum err e = boot_ask(a, b);

	if (e != E_OK || b->doc == NULL || b->missing != 0 || !a->has_key)
		return e;
	e = boot_apply(a, b);
	a->has_boot = e == E_OK;
	return e;
}

enum err bootstrap_run(struct auth *a)
{
	enum err e = a->has_boot ? E_OK : boot_check(a);

	if (e == E_OK && !a->has_boot)
		e = boot_step(a, boot_of(a));
	if (e != E_OK || a->has_boot)
		bootstrap_free(a);
	return e;
}
