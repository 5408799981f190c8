/* start: the pepper and the CA are read, or made when the state folder has none.
 *
 * The order of writing is pepper, CA key, CA certificate; whatever a crash leaves behind is told
 * from a loss: a CA key without its certificate is completed, a certificate without its key or a CA
 * without its pepper is a loss that a person has to look at, so the start ends there. */
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "keys/keys_i.h"

static const struct {
	u32 file;
	const char *name; /* below the state folder */
} start_files[] = {
	{FILE_PEPPER, "keys/pepper"},	       {FILE_CA_KEY, "keys/ca.key"},
	{FILE_CA_CERT, "keys/ca.crt"},	       {FILE_SERVER_KEY, "keys/server.key"},
	{FILE_SERVER_CERT, "keys/server.crt"},
};

static const char *start_name(u32 file)
{
	for (size_t i = 0; i < ARRAY_LEN(start_files); i++) {
		if (start_files[i].file == file)
			return start_files[i].name;
	}
	UNREACHABLE("only these files are asked for");
}

static void start_fail(struct keys *k, const char *why)
{
	log_msg(LOG_ERROR, "keys_start_failed", "%s", why);
	child_quit(k->child, 1);
}

static bool missing(const struct keys *k, u32 file)
{
	return k->start_err[file] == E_NOT_FOUND;
}

const char *start_ca_name(const struct keys *k)
{
	if (k->conf.names > 0)
		return k->conf.name[0];
	for (u32 i = 0; i < k->machine.n; i++) {
		if (k->machine.name[i].dns[0] != '\0')
			return k->machine.name[i].dns;
	}
	return "picket";
}

/* ---- after reading: what is there? ---- */
static bool pepper_take(struct keys *k)
{
	struct sbuf *text = &k->start_text[FILE_PEPPER];

	if (!missing(k, FILE_PEPPER)) {
		if (text->n != PEPPER_BYTES)
			start_fail(k, "the pepper file is damaged: restore it from a backup");
		else
			memcpy(k->secret->pepper, text->p, PEPPER_BYTES);
		return text->n == PEPPER_BYTES;
	}
	if (!missing(k, FILE_CA_KEY)) {
		start_fail(k, "the pepper file is gone while the CA exists; every token would stop "
			      "working: restore it from a backup");
		return false;
	}
	return RAND_priv_bytes(k->secret->pepper, PEPPER_BYTES) == 1;
}

static bool ca_make(struct keys *k)
{
	enum err e = cert_make_ca(start_ca_name(k), clock_wall_ms(), &k->ca_key, &k->ca);

	if (e == E_OK)
		log_msg(LOG_INFO, "ca_created",
			"%s device CA, P-256, 10 years; back it up: picket ca backup",
			start_ca_name(k));
	else
		start_fail(k, "no CA could be made");
	return e == E_OK;
}

static bool ca_complete(struct keys *k)
{
	if (k->ca_key == NULL ||
	    cert_make_ca_again(start_ca_name(k), clock_wall_ms(), k->ca_key, &k->ca) != E_OK) {
		start_fail(k,
			   "the CA's key is damaged: restore it from a backup (picket ca backup)");
		return false;
	}
	log_msg(LOG_WARN, "ca_completed", "the CA had a key and no certificate: made one for it");
	return true;
}

static bool ca_check(struct keys *k)
{
	char what[CERT_TEXT];

	if (k->ca_key == NULL || k->ca == NULL)
		snprintf(what, sizeof(what), "the CA's files are damaged");
	else if (cert_check_ca(k->ca_key, k->ca, what, sizeof(what)) == E_OK)
		return true;
	log_msg(LOG_ERROR, "keys_start_failed", "%s: restore them from a backup (picket ca backup)",
		what);
	child_quit(k->child, 1);
	return false;
}

static bool ca_take(struct keys *k)
{
	k->ca_key = pem_key(sbuf_slice(&k->start_text[FILE_CA_KEY]));
	k->ca = pem_cert(sbuf_slice(&k->start_text[FILE_CA_CERT]));
	if (missing(k, FILE_CA_KEY) && missing(k, FILE_CA_CERT))
		return ca_make(k);
	if (missing(k, FILE_CA_KEY)) {
		start_fail(
			k,
			"the CA's key is gone: restore it from a backup (picket ca backup), or "
			"remove the "
			"CA's certificate to begin with a new CA that every device has to learn");
		return false;
	}
	return missing(k, FILE_CA_CERT) ? ca_complete(k) : ca_check(k);
}

static void server_take(struct keys *k)
{
	struct slot *s = &k->slot[0];

	s->key = pem_key(sbuf_slice(&k->start_text[FILE_SERVER_KEY]));
	s->cert = pem_cert(sbuf_slice(&k->start_text[FILE_SERVER_CERT]));
	if (s->cert != NULL && s->key != NULL && pem_of_certs(s->cert, NULL, &s->chain) == E_OK)
		return;
	slot_clear(s);
}

/* ---- making it durable, one after the other ---- */
static void start_next(struct keys *k);

static void start_written(struct keys *k, u32 file, enum err e)
{
	if (e != E_OK) {
		log_msg(LOG_ERROR, "keys_start_failed", "%s cannot be written: %s",
			start_name(file), err_text(e));
		child_quit(k->child, 1);
		return;
	}
	k->start_err[file] = E_OK;
	start_next(k);
}

static void write_ca(struct keys *k, u32 file)
{
	struct sbuf b;
	enum err e =
		file == FILE_CA_KEY ? pem_of_key(k->ca_key, &b) : pem_of_certs(k->ca, NULL, &b);

	ASSERT(e == E_OK);
	files_write(k, file, sbuf_slice(&b), start_written);
	sbuf_free(&b);
}

static void start_next(struct keys *k)
{
	if (missing(k, FILE_PEPPER)) {
		files_write(k, FILE_PEPPER, slice_of(k->secret->pepper, PEPPER_BYTES),
			    start_written);
	} else if (missing(k, FILE_CA_KEY)) {
		write_ca(k, FILE_CA_KEY);
	} else if (missing(k, FILE_CA_CERT)) {
		write_ca(k, FILE_CA_CERT);
	} else {
		start_done(k);
	}
}

static void start_decide(struct keys *k)
{
	bool ok = pepper_take(k) && ca_take(k);

	if (ok)
		server_take(k);
	for (size_t i = 0; i < ARRAY_LEN(start_files); i++)
		sbuf_free(&k->start_text[start_files[i].file]);
	ERR_clear_error();
	if (ok)
		start_next(k);
	else
		child_quit(k->child, 1);
}

static void start_read(struct keys *k, u32 file, u32 index, enum err e, struct slice content)
{
	(void)index;
	k->start_err[file] = e;
	if (e == E_OK)
		sbuf_copy(&k->start_text[file], content);
	else if (e != E_NOT_FOUND) {
		log_msg(LOG_ERROR, "keys_start_failed", "%s cannot be read: %s", start_name(file),
			e == E_DENIED ? "permission denied; it must belong to picketd and be "
					"readable by it alone"
				      : err_text(e));
		child_quit(k->child, 1);
		return;
	}
	if (--k->start_waiting == 0)
		start_decide(k);
}

void start_begin(struct keys *k)
{
	k->start_waiting = ARRAY_LEN(start_files);
	for (size_t i = 0; i < ARRAY_LEN(start_files); i++)
		files_read(k, start_files[i].file, 0, start_read);
}
