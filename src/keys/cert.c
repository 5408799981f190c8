/* cert: makes and judges picket's own certificates.  Pure: time, names and keys are arguments;
 * nothing is read or written. */
#include <stdio.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "keys/cert.h"

#define DAY_MS	 (24ull * 3600 * 1000)
#define EPOCH_MS (1793491200ull * 1000) /* 2026-11-01 */

u64 cert_clock(u64 wall_ms)
{
	return MAX(wall_ms, EPOCH_MS);
}

/* ---- making ---- */
static bool set_serial(X509 *x)
{
	u8 b[16];
	BIGNUM *bn = NULL;
	bool ok = RAND_bytes(b, sizeof(b)) == 1;

	b[0] |= 0x40; /* never zero, always as long */
	if (ok)
		bn = BN_bin2bn(b, sizeof(b), NULL);
	ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL;
	BN_free(bn);
	return ok;
}

static bool set_time(ASN1_TIME *t, u64 wall_ms)
{
	return ASN1_TIME_set(t, (time_t)(wall_ms / 1000)) != NULL;
}

static bool set_life(X509 *x, u64 from_ms, u64 until_ms)
{
	return set_time(X509_getm_notBefore(x), from_ms) &&
	       set_time(X509_getm_notAfter(x), until_ms);
}

static bool set_subject(X509 *x, const char *cn)
{
	X509_NAME *n = X509_get_subject_name(x);

	return X509_NAME_add_entry_by_NID(n, NID_commonName, MBSTRING_UTF8, (const u8 *)cn, -1, -1,
					  0) == 1;
}

static bool add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e != NULL && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

static GENERAL_NAME *san_one(const struct name *n)
{
	GENERAL_NAME *g = GENERAL_NAME_new();
	bool ip = n->addr_n > 0;
	ASN1_STRING *s = ip ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	const void *p = ip ? (const void *)n->addr : n->dns;
	int len = ip ? n->addr_n : (int)strlen(n->dns);

	ASSERT(g != NULL && s != NULL);
	ASSERT(ASN1_STRING_set(s, p, len) == 1);
	GENERAL_NAME_set0_value(g, ip ? GEN_IPADD : GEN_DNS, s);
	return g;
}

static bool add_san(X509 *x, const struct names *names)
{
	GENERAL_NAMES *list = GENERAL_NAMES_new();
	bool ok = list != NULL;

	for (u32 i = 0; i < names->n && ok; i++)
		ok = sk_GENERAL_NAME_push(list, san_one(&names->name[i])) > 0;
	ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1;
	GENERAL_NAMES_free(list);
	return ok;
}

static X509 *begin(EVP_PKEY *key, const char *cn, u64 from_ms, u64 until_ms)
{
	X509 *x = X509_new();

	if (x != NULL && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
	    set_life(x, from_ms, until_ms) && set_subject(x, cn) && X509_set_pubkey(x, key) == 1)
		return x;
	X509_free(x);
	return NULL;
}

enum err cert_make_ca_again(const char *name, u64 now_ms, EVP_PKEY *key, X509 **cert)
{
	char cn[65]; /* ub-common-name is 64 */
	u64 now = cert_clock(now_ms);
	X509 *x;

	snprintf(cn, sizeof(cn), "%.50s device CA", name);
	x = begin(key, cn, now - CERT_BACKDATE_DAYS * DAY_MS, now + CERT_CA_DAYS * DAY_MS);
	if (x != NULL && X509_set_issuer_name(x, X509_get_subject_name(x)) == 1 &&
	    add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	    add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	    add_ext(x, x, NID_subject_key_identifier, "hash") &&
	    X509_sign(x, key, EVP_sha256()) > 0) {
		*cert = x;
		return E_OK;
	}
	X509_free(x);
	*cert = NULL;
	return E_NOMEM;
}

enum err cert_make_ca(const char *name, u64 now_ms, EVP_PKEY **key, X509 **cert)
{
	enum err e = E_NOMEM;

	*cert = NULL;
	*key = EVP_EC_gen("P-256");
	if (*key != NULL)
		e = cert_make_ca_again(name, now_ms, *key, cert);
	if (e != E_OK) {
		EVP_PKEY_free(*key);
		*key = NULL;
	}
	return e;
}

/* The subject is for people; clients look at the alternative names (RFC 6125). */
static const char *server_cn(const struct names *names)
{
	for (u32 i = 0; i < names->n; i++) {
		size_t n = strlen(names->name[i].dns);
		if (n > 0 && n <= 64)
			return names->name[i].dns;
	}
	return "picket";
}

static bool server_finish(X509 *x, EVP_PKEY *ca_key, X509 *ca, const struct names *names)
{
	return X509_set_issuer_name(x, X509_get_subject_name(ca)) == 1 &&
	       add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_ext(x, ca, NID_key_usage, "critical,digitalSignature") &&
	       add_ext(x, ca, NID_ext_key_usage, "serverAuth") &&
	       add_ext(x, ca, NID_subject_key_identifier, "hash") &&
	       add_ext(x, ca, NID_authority_key_identifier, "keyid:always") && add_san(x, names) &&
	       X509_sign(x, ca_key, EVP_sha256()) > 0;
}

enum err cert_make_server(EVP_PKEY *ca_key, X509 *ca, const struct names *names, u64 now_ms,
			  EVP_PKEY **key, X509 **cert)
{
	u64 now = cert_clock(now_ms);
	u64 until = MIN(now + CERT_SERVER_DAYS * DAY_MS, cert_not_after(ca));
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = NULL;

	ASSERT(names->n > 0);
	if (k != NULL)
		x = begin(k, server_cn(names), now - CERT_BACKDATE_DAYS * DAY_MS, until);
	if (x != NULL && server_finish(x, ca_key, ca, names)) {
		*key = k;
		*cert = x;
		return E_OK;
	}
	X509_free(x);
	EVP_PKEY_free(k);
	*key = NULL;
	*cert = NULL;
	return E_NOMEM;
}

/* ---- judging ---- */
static u64 time_ms(const ASN1_TIME *t)
{
	struct tm tm = {0};
	time_t s = ASN1_TIME_to_tm(t, &tm) == 1 ? timegm(&tm) : 0;

	return s > 0 ? (u64)s * 1000 : 0;
}

u64 cert_not_before(const X509 *cert)
{
	return time_ms(X509_get0_notBefore(cert));
}

u64 cert_not_after(const X509 *cert)
{
	return time_ms(X509_get0_notAfter(cert));
}

u64 cert_renew_at(const X509 *cert)
{
	u64 from = cert_not_before(cert), until = cert_not_after(cert);

	return until <= from ? from : until - (until - from) / 3;
}

enum err cert_check_ca(EVP_PKEY *key, X509 *cert, char *what, size_t cap)
{
	const char *why = NULL;

	if (X509_check_private_key(cert, key) != 1)
		why = "the CA's key and certificate do not belong together";
	else if (X509_check_ca(cert) != 1 || !(X509_get_key_usage(cert) & KU_KEY_CERT_SIGN))
		why = "the CA's certificate is not that of a CA";
	if (why == NULL)
		return E_OK;
	snprintf(what, cap, "%s", why);
	return E_CORRUPT;
}

static bool name_wanted(const GENERAL_NAME *g, const struct names *names)
{
	int type = 0;
	const ASN1_STRING *s = GENERAL_NAME_get0_value(g, &type);
	struct slice v;

	if (type != GEN_DNS && type != GEN_IPADD)
		return false;
	v = slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
	return type == GEN_DNS ? names_have_dns(names, v) : names_have_address(names, v);
}

/* Exactly the wanted ones: our own certificates repeat none, so counting and containing is
 * equality. */
static bool names_equal(X509 *cert, const struct names *names)
{
	GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool ok = list != NULL && sk_GENERAL_NAME_num(list) == (int)names->n;

	for (int i = 0; ok && i < sk_GENERAL_NAME_num(list); i++)
		ok = name_wanted(sk_GENERAL_NAME_value(list, i), names);
	GENERAL_NAMES_free(list);
	return ok;
}

const char *cert_why_renew(EVP_PKEY *key, X509 *cert, X509 *ca, const struct names *names,
			   u64 now_ms)
{
	u64 now = cert_clock(now_ms);

	if (key == NULL || cert == NULL)
		return "there is none yet";
	if (X509_check_private_key(cert, key) != 1)
		return "its key does not belong to it";
	if (X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(ca)) != 0 ||
	    X509_verify(cert, X509_get0_pubkey(ca)) != 1)
		return "another CA issued it";
	if (now < cert_not_before(cert))
		return "its validity begins in the future";
	/* One that lasts as long as the CA cannot be prolonged. */
	if (now >= cert_renew_at(cert) && cert_not_after(cert) < cert_not_after(ca))
		return "two thirds of its life are over";
	return names_equal(cert, names) ? NULL : "names or addresses changed";
}

static bool key_usable(EVP_PKEY *key)
{
	char group[32] = "";

	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) >= 2048 && EVP_PKEY_get_bits(key) <= 8192;
	if (!EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1)
		return false;
	return strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0;
}

enum err cert_check_external(EVP_PKEY *key, X509 *cert, char *what, size_t cap)
{
	const char *why = NULL;

	if (X509_check_private_key(cert, key) != 1)
		why = "the key does not belong to the certificate";
	else if (!key_usable(key))
		why = "the key must be EC P-256, EC P-384, or RSA of 2,048 to 8,192 bits";
	if (why == NULL)
		return E_OK;
	snprintf(what, cap, "%s", why);
	return E_CONFIG;
}
