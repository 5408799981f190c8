/* tls_provider: keys that are elsewhere, as OpenSSL sees them.
 *
 * An OpenSSL provider inside this process.  Its keys are public keys that pass for private ones;
 * its signature hands the bytes to be signed to tls_sign.c and waits there for the answer.  Lives
 * in a library context of its own, so that nothing else in the process meets it.  Owns no secret,
 * decides nothing about what may be signed: the keys process does. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/obj_mac.h>
#include <openssl/provider.h>

#include "base/mem.h"
#include "net/tls_i.h"

/* ---- keys: everything about the public half is left to OpenSSL's own provider ---- */
#define RKEY_MAGIC 0x726b6579u
struct rkey {
	u32 magic;
	OSSL_LIB_CTX *lib;
	const char *type;
	EVP_PKEY *pub; /* NULL until imported */
};

static void *rkey_new(void *lib, const char *type)
{
	struct rkey *k = xcalloc(1, sizeof(*k));

	ASSERT(lib != NULL);
	k->magic = RKEY_MAGIC;
	k->lib = lib;
	k->type = type;
	return k;
}

static void *rkey_new_ec(void *lib)
{
	return rkey_new(lib, "EC");
}

static void *rkey_new_rsa(void *lib)
{
	return rkey_new(lib, "RSA");
}

static void rkey_free(void *key)
{
	struct rkey *k = key;

	if (k == NULL)
		return;
	OBJ_CHECK(k, RKEY_MAGIC);
	EVP_PKEY_free(k->pub);
	k->magic = 0;
	free(k);
}

/* It stands for the private key, too. */
static int rkey_has(const void *key, int selection)
{
	const struct rkey *k = key;

	(void)selection;
	OBJ_CHECK(k, RKEY_MAGIC);
	return k->pub != NULL;
}

static int rkey_match(const void *a, const void *b, int selection)
{
	const struct rkey *x = a, *y = b;

	(void)selection;
	OBJ_CHECK(x, RKEY_MAGIC);
	OBJ_CHECK(y, RKEY_MAGIC);
	return EVP_PKEY_eq(x->pub, y->pub) == 1;
}

static int rkey_import(void *key, int selection, const OSSL_PARAM params[])
{
	struct rkey *k = key;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(k->lib, k->type, "provider=default");
	int ok = 0;

	(void)selection;
	OBJ_CHECK(k, RKEY_MAGIC);
	/* Never the secret half, even where somebody offers it. */
	if (ctx != NULL && k->pub == NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		ok = EVP_PKEY_fromdata(ctx, &k->pub, EVP_PKEY_PUBLIC_KEY,
				       (OSSL_PARAM *)(uintptr_t)params) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static int rkey_export(void *key, int selection, OSSL_CALLBACK *cb, void *arg)
{
	struct rkey *k = key;
	OSSL_PARAM *params = NULL;
	int ok;

	OBJ_CHECK(k, RKEY_MAGIC);
	/* Without the secret half no other provider can stand in for this one. */
	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
		return 0;
	if (EVP_PKEY_todata(k->pub, EVP_PKEY_PUBLIC_KEY, &params) != 1)
		return 0;
	ok = cb(params, arg);
	OSSL_PARAM_free(params);
	return ok;
}

static const OSSL_PARAM *rkey_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)selection;
	return types;
}

static int rkey_get_params(void *key, OSSL_PARAM params[])
{
	struct rkey *k = key;

	OBJ_CHECK(k, RKEY_MAGIC);
	return EVP_PKEY_get_params(k->pub, params);
}

static const OSSL_PARAM *rkey_gettable(void *lib)
{
	static const OSSL_PARAM gettable[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)lib;
	return gettable;
}

/* Names that only this provider has, so that no other's signature is taken. */
static const char *rkey_operation_ec(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "PICKET-EC" : "EC";
}

static const char *rkey_operation_rsa(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "PICKET-RSA" : "RSA";
}

/* ---- signatures ---- */
#define RSIG_MAGIC 0x72736967u
struct rsig {
	u32 magic;
	const struct rkey *key; /* borrowed from the EVP_PKEY of the operation */
	u32 hash;		/* bits; 0: one that is not ours to ask for */
	bool pss;
};

static void *rsig_new(void *lib, const char *propq)
{
	struct rsig *s = xcalloc(1, sizeof(*s));

	(void)lib;
	(void)propq;
	s->magic = RSIG_MAGIC;
	return s;
}

static void rsig_free(void *ctx)
{
	struct rsig *s = ctx;

	if (s == NULL)
		return;
	OBJ_CHECK(s, RSIG_MAGIC);
	s->magic = 0;
	free(s);
}

static u32 rsig_hash(const char *name)
{
	if (name == NULL)
		return 0;
	if (strcmp(name, "SHA256") == 0 || strcmp(name, "SHA2-256") == 0)
		return 256;
	if (strcmp(name, "SHA384") == 0 || strcmp(name, "SHA2-384") == 0)
		return 384;
	return 0;
}

static int rsig_set_params(void *ctx, const OSSL_PARAM params[])
{
	struct rsig *s = ctx;
	const OSSL_PARAM *p =
		params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
	int mode = 0;

	OBJ_CHECK(s, RSIG_MAGIC);
	if (p == NULL)
		return 1;
	if (p->data_type == OSSL_PARAM_UTF8_STRING) {
		s->pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
		return 1;
	}
	if (OSSL_PARAM_get_int(p, &mode) != 1)
		return 0;
	s->pss = mode == RSA_PKCS1_PSS_PADDING;
	return 1;
}

static const OSSL_PARAM *rsig_settable(void *ctx, void *lib)
{
	static const OSSL_PARAM settable[] = {
		OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL),
		OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)lib;
	return settable;
}

static int rsig_init(void *ctx, const char *md, void *key, const OSSL_PARAM params[])
{
	struct rsig *s = ctx;

	OBJ_CHECK(s, RSIG_MAGIC);
	if (key == NULL)
		return 0;
	s->key = key;
	OBJ_CHECK(s->key, RKEY_MAGIC);
	s->hash = rsig_hash(md);
	s->pss = false;
	return s->hash != 0 && rsig_set_params(ctx, params);
}

static u32 rsig_alg(const struct rsig *s)
{
	ASSERT(s->hash == 256 || s->hash == 384);
	if (strcmp(s->key->type, "EC") == 0)
		return s->hash == 256 ? TLS_ECDSA_SHA256 : TLS_ECDSA_SHA384;
	if (s->pss)
		return s->hash == 256 ? TLS_RSA_PSS_SHA256 : TLS_RSA_PSS_SHA384;
	return s->hash == 256 ? TLS_RSA_PKCS1_SHA256 : 0;
}

static int rsig_sign(void *ctx, u8 *sig, size_t *n, size_t cap, const u8 *tbs, size_t tbs_n)
{
	struct rsig *s = ctx;

	OBJ_CHECK(s, RSIG_MAGIC);
	OBJ_CHECK(s->key, RKEY_MAGIC); /* init came before, and the key lives */
	if (sig == NULL) {
		int size = EVP_PKEY_get_size(s->key->pub);
		*n = size > 0 ? (size_t)size : 0;
		return size > 0;
	}
	if (rsig_alg(s) == 0)
		return 0;
	return tls_sign_ask(rsig_alg(s), slice_of(tbs, tbs_n), sig, cap, n);
}

/* libssl signs a handshake in one call (rsig_sign); in pieces nothing is signed. */
static int rsig_update(void *ctx, const u8 *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	return 0;
}

static int rsig_final(void *ctx, u8 *sig, size_t *n, size_t cap)
{
	(void)ctx;
	(void)sig;
	(void)n;
	(void)cap;
	return 0;
}

/* ---- the provider ---- */
typedef void fn(void);
#define FN(f) ((fn *)(uintptr_t)(f))
#define KEY_FUNCTIONS(type)                                                                        \
	{                                                                                          \
		{OSSL_FUNC_KEYMGMT_NEW, FN(rkey_new_##type)},                                      \
			{OSSL_FUNC_KEYMGMT_FREE, FN(rkey_free)},                                   \
			{OSSL_FUNC_KEYMGMT_HAS, FN(rkey_has)},                                     \
			{OSSL_FUNC_KEYMGMT_MATCH, FN(rkey_match)},                                 \
			{OSSL_FUNC_KEYMGMT_IMPORT, FN(rkey_import)},                               \
			{OSSL_FUNC_KEYMGMT_IMPORT_TYPES, FN(rkey_types)},                          \
			{OSSL_FUNC_KEYMGMT_EXPORT, FN(rkey_export)},                               \
			{OSSL_FUNC_KEYMGMT_EXPORT_TYPES, FN(rkey_types)},                          \
			{OSSL_FUNC_KEYMGMT_GET_PARAMS, FN(rkey_get_params)},                       \
			{OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, FN(rkey_gettable)},                    \
			{OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, FN(rkey_operation_##type)},       \
			{0, NULL},                                                                 \
	}

/* The tables hold function pointers cast to one type, which only run time can do. */
static OSSL_DISPATCH ec_functions[] = KEY_FUNCTIONS(ec);
static OSSL_DISPATCH rsa_functions[] = KEY_FUNCTIONS(rsa);
static OSSL_DISPATCH sig_functions[] = {
	{OSSL_FUNC_SIGNATURE_NEWCTX, FN(rsig_new)},
	{OSSL_FUNC_SIGNATURE_FREECTX, FN(rsig_free)},
	{OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, FN(rsig_init)},
	{OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, FN(rsig_update)},
	{OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, FN(rsig_final)},
	{OSSL_FUNC_SIGNATURE_DIGEST_SIGN, FN(rsig_sign)},
	{OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, FN(rsig_set_params)},
	{OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, FN(rsig_settable)},
	{0, NULL},
};

static const OSSL_ALGORITHM *provider_query(void *ctx, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM keys[] = {
		{"EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=picket", ec_functions, ""},
		{"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=picket", rsa_functions, ""},
		{NULL, NULL, NULL, NULL},
	};
	static const OSSL_ALGORITHM signatures[] = {
		{"PICKET-EC", "provider=picket", sig_functions, ""},
		{"PICKET-RSA", "provider=picket", sig_functions, ""},
		{NULL, NULL, NULL, NULL},
	};

	(void)ctx;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return keys;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static OSSL_LIB_CTX *tls_lib;

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
			 const OSSL_DISPATCH **out, void **ctx)
{
	static OSSL_DISPATCH functions[] = {
		{OSSL_FUNC_PROVIDER_QUERY_OPERATION, FN(provider_query)},
		{0, NULL},
	};

	(void)handle;
	(void)in;
	ASSERT(tls_lib != NULL);
	*out = functions;
	*ctx = tls_lib;
	return 1;
}

static void library_make(void)
{
	/* No system-wide openssl.cnf: what this broker accepts is decided here. */
	ASSERT(OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
	tls_lib = OSSL_LIB_CTX_new();
	ASSERT(tls_lib != NULL);
	ASSERT(OSSL_PROVIDER_add_builtin(tls_lib, "picket", provider_init) == 1);
	ASSERT(OSSL_PROVIDER_load(tls_lib, "default") != NULL);
	ASSERT(OSSL_PROVIDER_load(tls_lib, "picket") != NULL);
}

OSSL_LIB_CTX *tls_library(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	ASSERT(pthread_once(&once, library_make) == 0);
	return tls_lib;
}

EVP_PKEY *tls_remote_key(EVP_PKEY *public_key)
{
	const char *type = EVP_PKEY_is_a(public_key, "EC")    ? "EC"
			   : EVP_PKEY_is_a(public_key, "RSA") ? "RSA"
							      : NULL;
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params = NULL;

	if (type == NULL || EVP_PKEY_todata(public_key, EVP_PKEY_PUBLIC_KEY, &params) != 1)
		return NULL;
	ctx = EVP_PKEY_CTX_new_from_name(tls_library(), type, "provider=picket");
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}
