/* tls_text: why TLS failed, in words for the one who has to mend it.
 *
 * "alert …" is what the client told us; everything else is what we found.  All text is ours: no
 * byte of a peer is copied.  The subject of a sentence ("it") is the client. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/sslerr.h>

#include "net/tls_i.h"

struct text_row {
	int code;
	const char *name, *advice;
};

/* RFC 8446 section 6.2: what a client tells us before it goes. */
static const struct text_row alerts[] = {
	{10, "unexpected_message", "it found our handshake out of order"},
	{20, "bad_record_mac", "what it received was damaged on the way"},
	{21, "decryption_failed", "what it received was damaged on the way"},
	{22, "record_overflow", "it takes only smaller TLS records"},
	{40, "handshake_failure", "it shares no cipher suite, curve or signature scheme with us"},
	{42, "bad_certificate",
	 "it does not accept our certificate: most often for a name or address that this lacks"},
	{43, "unsupported_certificate",
	 "it cannot use this kind of certificate (ours: ECDSA P-256)"},
	{44, "certificate_revoked", "it holds our certificate for revoked"},
	{45, "certificate_expired",
	 "it holds our certificate for expired: look at the client's clock"},
	{46, "certificate_unknown",
	 "it does not accept our certificate: wrong name, or a CA it does not have"},
	{47, "illegal_parameter", "it found our handshake inconsistent"},
	{48, "unknown_ca", "it does not have our CA"},
	{49, "access_denied", "it does not want to talk to this server"},
	{50, "decode_error", "it could not read our handshake"},
	{51, "decrypt_error",
	 "a signature did not verify: its CA has our CA's name but another key"},
	{70, "protocol_version", "it takes no TLS version that we speak"},
	{71, "insufficient_security", "it demands stronger cryptography"},
	{80, "internal_error", "it failed within itself"},
	{86, "inappropriate_fallback", "it fell back to an older TLS version than we share"},
	{90, "user_canceled", "its user gave up"},
	{100, "no_renegotiation", "it does not renegotiate"},
	{109, "missing_extension", "it misses a TLS extension"},
	{110, "unsupported_extension", "it did not expect a TLS extension"},
	{112, "unrecognized_name", "it does not know the server's name"},
	{116, "certificate_required", "it wants a certificate of us"},
	{120, "no_application_protocol", "it wants another protocol than mqtt (ALPN)"},
};

/* What we found ourselves: reasons of OpenSSL's libssl. */
static const struct text_row reasons[] = {
	{SSL_R_UNSUPPORTED_PROTOCOL, "no shared TLS version",
	 "it offers only older ones than this listener takes"},
	{SSL_R_VERSION_TOO_LOW, "no shared TLS version",
	 "it offers only older ones than this listener takes"},
	{SSL_R_NO_SHARED_CIPHER, "no shared cipher suite",
	 "it must offer ECDHE with AES-GCM or ChaCha20-Poly1305"},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no shared signature scheme",
	 "it cannot verify the kind of key that our certificate has"},
	{SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "no shared signature scheme",
	 "it must offer ECDSA or RSA with SHA-256 or SHA-384"},
	{SSL_R_NO_SUITABLE_KEY_SHARE, "no shared curve", "it must offer X25519, P-256 or P-384"},
	{SSL_R_NO_SHARED_GROUPS, "no shared curve", "it must offer X25519, P-256 or P-384"},
	{SSL_R_HTTP_REQUEST, "plain HTTP on a TLS port", "it must use wss"},
	{SSL_R_HTTPS_PROXY_REQUEST, "an HTTP proxy request on a TLS port", "this is no proxy"},
	{SSL_R_NO_APPLICATION_PROTOCOL, "no shared protocol",
	 "by ALPN it wants another one than mqtt"},
	{SSL_R_INAPPROPRIATE_FALLBACK, "TLS fallback",
	 "it could speak a newer version and did not"},
	{SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "no certificate",
	 "this listener demands one of it"},
	{SSL_R_CERTIFICATE_VERIFY_FAILED, "its certificate does not verify",
	 "it was not issued by the CA of this listener, or is expired"},
	{SSL_R_UNEXPECTED_EOF_WHILE_READING, "closed", "it went away without a word"},
	{SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a record was damaged", "or forged on the way"},
	{SSL_R_LENGTH_MISMATCH, "malformed handshake", "it broke the rules of TLS"},
	{SSL_R_WRONG_VERSION_NUMBER, "no TLS", "its first bytes are not a TLS handshake"},
};

static const struct text_row *row_find(const struct text_row *rows, size_t n, int code)
{
	for (size_t i = 0; i < n; i++) {
		if (rows[i].code == code)
			return &rows[i];
	}
	return NULL;
}

/* What speaks plainly on a TLS port; a handshake record begins with 0x16. */
static const char *plain_speaker(const u8 *p, size_t n)
{
	static const char *const http[] = {"GET ", "POST", "HEAD", "PUT ", "OPTI", "CONN", "DELE"};

	if (n == 0 || p[0] == 0x16)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(http); i++) {
		if (n >= 4 && memcmp(p, http[i], 4) == 0)
			return "plain HTTP on a TLS port - it must use wss";
	}
	if (p[0] == 0x10)
		return "plain MQTT on a TLS port - it must use TLS (mosquitto_pub --cafile, "
		       "mqtts://)";
	if (n >= 4 && memcmp(p, "PROX", 4) == 0)
		return "a PROXY header on a listener that expects none";
	return "no TLS - its first bytes are not a TLS handshake";
}

static void explain_reason(unsigned long e, char *out, size_t cap)
{
	int reason = ERR_GET_REASON(e);
	const struct text_row *r = row_find(reasons, ARRAY_LEN(reasons), reason);
	const char *theirs = ERR_reason_error_string(e);

	if (r != NULL && ERR_GET_LIB(e) == ERR_LIB_SSL)
		snprintf(out, cap, "%s - %s", r->name, r->advice);
	else
		snprintf(out, cap, "malformed handshake - %s", theirs ? theirs : "no reason known");
}

static void explain_alert(int alert, char *out, size_t cap)
{
	const struct text_row *r = row_find(alerts, ARRAY_LEN(alerts), alert);

	if (r != NULL)
		snprintf(out, cap, "alert %s - %s", r->name, r->advice);
	else
		snprintf(out, cap, "alert %d", alert);
}

void tls_explain(const struct tls_fact *f, char *out, size_t cap)
{
	const char *plain = plain_speaker(f->first, f->first_n);
	int reason = ERR_GET_REASON(f->error);

	ASSERT(cap >= LIM_TLS_TEXT);
	if (plain != NULL)
		snprintf(out, cap, "%s", plain);
	else if (f->error != 0 && ERR_GET_LIB(f->error) == ERR_LIB_SSL &&
		 reason >= SSL_AD_REASON_OFFSET)
		explain_alert(reason - SSL_AD_REASON_OFFSET, out, cap);
	else if (f->error != 0 && !ERR_SYSTEM_ERROR(f->error))
		explain_reason(f->error, out, cap);
	else if (f->io != 0)
		snprintf(out, cap, "connection lost - %s", strerror(f->io));
	else
		snprintf(out, cap, "closed - it went away without a word");
}
