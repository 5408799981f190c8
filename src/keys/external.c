/* external: certificates that somebody else issued: of listeners, and of sections by name.
 *
 * They are read again every minute and at every reload; what changed is judged, and a bad one never
 * replaces what is served (I01).  Each content is judged and reported once. */
#include <stdio.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "keys/keys_i.h"

enum { EXTERNAL_NAME = 64 };

void external_drop(struct external *x)
{
	sbuf_free(&x->text[0]);
	sbuf_free(&x->text[1]);
	slot_clear(&x->fresh);
	x->changed = x->bad = false;
}

static bool is_external(const struct conf *c, u32 i)
{
	if (i >= CONF_LISTENERS)
		return i - CONF_LISTENERS < c->certificates;
	return i < c->listeners && c->listener[i].tls && c->listener[i].certificate[0] != '\0';
}

/* "listener mqtts", "certificate shop" */
static void name_of(const struct conf *c, u32 i, char *out, size_t cap)
{
	if (i >= CONF_LISTENERS)
		snprintf(out, cap, "certificate %s", c->certificate[i - CONF_LISTENERS].name);
	else
		snprintf(out, cap, "listener %s", c->listener[i].name);
}

static void bad(struct external *x, const char *name, const char *why)
{
	x->bad = true;
	snprintf(x->what, sizeof(x->what), "%s: %s", name, why);
}

static void hash_texts(const struct external *x, u8 out[32])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	ASSERT(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1);
	for (u32 i = 0; i < 2; i++) {
		u64 head[2] = {x->err[i], x->text[i].n};
		ASSERT(EVP_DigestUpdate(md, head, sizeof(head)) == 1);
		ASSERT(EVP_DigestUpdate(md, x->text[i].p, x->text[i].n) == 1);
	}
	ASSERT(EVP_DigestFinal_ex(md, out, NULL) == 1);
	EVP_MD_CTX_free(md);
}

static const char *parse(struct external *x)
{
	x->fresh.cert = pem_cert(sbuf_slice(&x->text[0]));
	if (x->fresh.cert == NULL || pem_chain(sbuf_slice(&x->text[0]), &x->fresh.chain) != E_OK)
		return "the certificate file holds no readable PEM certificates";
	x->fresh.key = pem_key(sbuf_slice(&x->text[1]));
	return x->fresh.key == NULL
		       ? "the key file holds no PEM key, or one with a passphrase (picketd "
			 "cannot ask for it: openssl pkey -in KEY -out PLAIN)"
		       : NULL;
}

static const char *read_text(enum err e)
{
	if (e == E_DENIED)
		return "permission denied (a key file must be readable by its owner alone)";
	if (e == E_NOT_FOUND)
		return "there is no such file";
	return err_text(e);
}

static const char *unreadable(const struct external *x, char *what, size_t cap)
{
	u32 f = x->err[0] == E_OK; /* 0: the certificate, 1: the key */

	if (x->err[f] == E_OK)
		return NULL;
	snprintf(what, cap, "its %s file cannot be read: %s", f ? "key" : "certificate",
		 read_text(x->err[f]));
	return what;
}

static void judge(struct external *x, const char *name)
{
	char what[CERT_TEXT];
	u8 hash[32];
	const char *why = unreadable(x, what, sizeof(what));

	hash_texts(x, hash);
	x->changed = memcmp(hash, x->seen, sizeof(hash)) != 0;
	memcpy(x->seen, hash, sizeof(hash));
	if (why == NULL)
		why = parse(x);
	if (why == NULL &&
	    cert_check_external(x->fresh.key, x->fresh.cert, what, sizeof(what)) != E_OK)
		why = what;
	if (why != NULL)
		bad(x, name, why);
}

/* An expired one is still better than no listener at all when there is nothing else; it never
 * replaces one that is served. */
static void judge_expiry(struct keys *k, u32 i, const char *name)
{
	struct external *x = &k->external[i];
	const struct slot *now = &k->slot[1 + i];

	if (x->bad || cert_clock(clock_wall_ms()) < cert_not_after(x->fresh.cert))
		return;
	if (now->cert != NULL && X509_cmp(now->cert, x->fresh.cert) != 0)
		bad(x, name, "its certificate is expired");
	else if (x->changed)
		log_msg(LOG_WARN, "certificate_expired",
			"%s: its certificate is expired; most clients "
			"will refuse it",
			name);
}

static void external_end(struct keys *k)
{
	void (*then)(struct keys *) = k->external_then;
	const struct conf *c = k->reload ? &k->next : &k->conf;
	char name[EXTERNAL_NAME];

	for (u32 i = 0; i < KEYS_EXTERNAL; i++) {
		if (!is_external(c, i))
			continue;
		name_of(c, i, name, sizeof(name));
		judge(&k->external[i], name);
		judge_expiry(k, i, name);
	}
	ERR_clear_error();
	k->external_then = NULL;
	then(k);
	for (u32 i = 0; i < KEYS_EXTERNAL; i++)
		external_drop(&k->external[i]);
}

static void external_read(struct keys *k, u32 file, u32 index, enum err e, struct slice content)
{
	struct external *x = &k->external[index];
	u32 which = file == FILE_EXTERNAL_KEY;

	ASSERT(index < KEYS_EXTERNAL && k->external_waiting > 0);
	x->err[which] = e;
	if (e == E_OK)
		sbuf_copy(&x->text[which], content);
	if (--k->external_waiting == 0)
		external_end(k);
}

bool external_load(struct keys *k, const struct conf *c, void (*then)(struct keys *k))
{
	if (k->external_then != NULL)
		return false;
	k->external_then = then;
	for (u32 i = 0; i < KEYS_EXTERNAL; i++)
		k->external_waiting += is_external(c, i) ? 2 : 0;
	if (k->external_waiting == 0) {
		external_end(k);
		return true;
	}
	for (u32 i = 0; i < KEYS_EXTERNAL; i++) {
		if (!is_external(c, i))
			continue;
		files_read(k, FILE_EXTERNAL_CERT, i, external_read);
		files_read(k, FILE_EXTERNAL_KEY, i, external_read);
	}
	return true;
}

const struct external *external_bad(const struct keys *k)
{
	for (u32 i = 0; i < KEYS_EXTERNAL; i++) {
		if (k->external[i].bad)
			return &k->external[i];
	}
	return NULL;
}

static bool serves(const struct keys *k, u32 slot, const struct slot *fresh)
{
	const struct slot *s = &k->slot[slot];

	return s->key != NULL && slice_eq(sbuf_slice(&s->chain), sbuf_slice(&fresh->chain)) &&
	       EVP_PKEY_eq(s->key, fresh->key) == 1;
}

void external_install(struct keys *k)
{
	char name[EXTERNAL_NAME];

	for (u32 i = 0; i < KEYS_EXTERNAL; i++) {
		struct external *x = &k->external[i];
		if (x->bad && x->changed)
			log_msg(LOG_ERROR, "certificate_refused", "%s; the old one stays in use",
				x->what);
		if (!x->bad && x->fresh.key != NULL && !serves(k, 1 + i, &x->fresh)) {
			slot_put(k, 1 + i, &x->fresh);
			name_of(&k->conf, i, name, sizeof(name));
			log_msg(LOG_INFO, "certificate_loaded", "%s: a new one is served", name);
		}
		if (!is_external(&k->conf, i))
			slot_clear(&k->slot[1 + i]);
	}
}
