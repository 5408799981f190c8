/* cert: OpenSSL's view of a certificate in our words. */
#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"
#include "cli/cert.h"

static X509 *cert_parse(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509 *x = b != NULL ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;

	BIO_free(b);
	return x;
}

static u64 time_ms(const ASN1_TIME *t)
{
	struct tm tm;
	time_t s;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return 0;
	s = timegm(&tm);
	return s > 0 ? (u64)s * 1000 : 0;
}

static void name_add(char *out, size_t cap, const char *name)
{
	size_t n = strlen(out);

	snprintf(out + n, cap - n, "%s%s", n > 0 ? ", " : "", name);
}

static void general_name_add(char *out, size_t cap, const GENERAL_NAME *g)
{
	char text[256];

	if (g->type == GEN_DNS) {
		const ASN1_STRING *s = g->d.dNSName;

		snprintf(text, sizeof(text), "%.*s", ASN1_STRING_length(s),
			 (const char *)ASN1_STRING_get0_data(s));
		name_add(out, cap, text);
	} else if (g->type == GEN_IPADD) {
		const ASN1_STRING *s = g->d.iPAddress;
		int family = ASN1_STRING_length(s) == 4 ? AF_INET : AF_INET6;

		if (inet_ntop(family, ASN1_STRING_get0_data(s), text, sizeof(text)) != NULL)
			name_add(out, cap, text);
	}
}

static void names_read(const X509 *x, char *out, size_t cap)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	out[0] = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		general_name_add(out, cap, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
}

static void key_read(X509 *x, char *out, size_t cap)
{
	EVP_PKEY *k = X509_get0_pubkey(x);
	char group[32] = "";
	size_t n;

	snprintf(out, cap, "%s", k != NULL ? EVP_PKEY_get0_type_name(k) : "unknown");
	if (k != NULL && EVP_PKEY_get_group_name(k, group, sizeof(group), &n) == 1)
		snprintf(out, cap, "%s", strcmp(group, "prime256v1") == 0 ? "P-256" : group);
}

static void digest_read(const X509 *x, char *out, size_t cap)
{
	u8 md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	out[0] = 0;
	if (X509_digest(x, EVP_sha256(), md, &n) != 1)
		return;
	for (unsigned i = 0; i < n && (size_t)i * 3 + 3 < cap; i++)
		snprintf(out + (size_t)i * 3, cap - (size_t)i * 3, "%02x%s", md[i],
			 i + 1 < n ? ":" : "");
}

enum err cert_read(const char *pem, struct cert_info *out)
{
	X509 *x = cert_parse(pem);

	*out = (struct cert_info){0};
	if (x == NULL)
		return E_SYNTAX;
	if (X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, out->subject,
				      sizeof(out->subject)) < 0)
		out->subject[0] = 0;
	names_read(x, out->names, sizeof(out->names));
	key_read(x, out->key, sizeof(out->key));
	digest_read(x, out->sha256, sizeof(out->sha256));
	out->not_before_ms = time_ms(X509_get0_notBefore(x));
	out->not_after_ms = time_ms(X509_get0_notAfter(x));
	X509_free(x);
	return E_OK;
}

enum err cert_der(const char *pem, u8 **der, size_t *n)
{
	X509 *x = cert_parse(pem);
	unsigned char *p = NULL;
	int len;

	if (x == NULL)
		return E_SYNTAX;
	len = i2d_X509(x, &p);
	X509_free(x);
	if (len <= 0)
		return E_SYNTAX;
	*n = (size_t)len;
	*der = xmalloc(*n);
	memcpy(*der, p, *n);
	OPENSSL_free(p);
	return E_OK;
}

bool cert_has_name(const struct cert_info *c, const char *host)
{
	const char *p = c->names;
	size_t n = strlen(host);

	while (*p != 0) {
		size_t len = strcspn(p, ",");

		if (len == n && strncasecmp(p, host, n) == 0)
			return true;
		p += len;
		p += strspn(p, ", ");
	}
	return false;
}
