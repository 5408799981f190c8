/* renew: the server certificate of picket's own CA: made, written, then served.
 *
 * The old one serves until the new one is on disk.  Key and certificate are two files; a crash
 * between them leaves a pair that does not match, which the next start sees and replaces. */
#include "base/clock.h"
#include "base/log.h"
#include "keys/keys_i.h"

static void renew_end(struct keys *k, enum err e)
{
	struct renewal r = k->renewal;

	EVP_PKEY_free(r.key);
	X509_free(r.cert);
	k->renewal = (struct renewal){NULL};
	if (e != E_OK)
		log_msg(LOG_ERROR, "renewal_failed", "the old server certificate stays: %s",
			err_text(e));
	if (r.call != 0)
		serve_reply(k, r.call, e, e == E_OK ? sbuf_slice(&k->slot[0].chain) : SLICE_NONE);
	if (r.then != NULL)
		r.then(k, e);
}

static void renew_serve(struct keys *k)
{
	struct slot fresh = {k->renewal.key, k->renewal.cert, {NULL, 0}};
	char until[32];

	ASSERT(pem_of_certs(fresh.cert, NULL, &fresh.chain) == E_OK);
	k->renewal.key = NULL;
	k->renewal.cert = NULL;
	clock_format(cert_not_after(fresh.cert), until, sizeof(until));
	slot_put(k, 0, &fresh);
	log_msg(LOG_INFO, "server_certificate", "new one in use, valid until %s", until);
}

static void cert_written(struct keys *k, u32 file, enum err e)
{
	(void)file;
	if (e == E_OK)
		renew_serve(k);
	renew_end(k, e);
}

static void key_written(struct keys *k, u32 file, enum err e)
{
	struct sbuf b;

	(void)file;
	if (e == E_OK)
		e = pem_of_certs(k->renewal.cert, NULL, &b);
	if (e != E_OK) {
		renew_end(k, e);
		return;
	}
	files_write(k, FILE_SERVER_CERT, sbuf_slice(&b), cert_written);
	sbuf_free(&b);
}

enum err renew_begin(struct keys *k, const char *why, u64 call,
		     void (*then)(struct keys *k, enum err e))
{
	struct renewal r = {.then = then, .call = call};
	struct sbuf b;
	enum err e;

	if (k->renewal.key != NULL)
		return E_BUSY;
	e = cert_make_server(k->ca_key, k->ca, &k->names, clock_wall_ms(), &r.key, &r.cert);
	if (e != E_OK)
		return e;
	log_msg(LOG_INFO, "server_certificate", "making a new one: %s", why);
	k->renewal = r;
	e = pem_of_key(r.key, &b);
	ASSERT(e == E_OK);
	files_write(k, FILE_SERVER_KEY, sbuf_slice(&b), key_written);
	sbuf_free(&b);
	return E_OK;
}

void renew_if_due(struct keys *k)
{
	struct slot *s = &k->slot[0];
	const char *why = cert_why_renew(s->key, s->cert, k->ca, &k->names, clock_wall_ms());
	enum err e;

	if (why == NULL || k->renewal.key != NULL)
		return;
	e = renew_begin(k, why, 0, NULL);
	if (e != E_OK)
		log_msg(LOG_ERROR, "renewal_failed", "the old server certificate stays: %s",
			err_text(e));
}
