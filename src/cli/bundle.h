/* bundle: the folder of files with which one device connects: CA, login, ready command lines,
 * examples.
 *
 * All or nothing: files are written into a hidden folder beside their place and moved there at the
 * end; an error takes away what was made.  Folders are 0700, files 0600, nothing is overwritten. */
#ifndef PICKET_CLI_BUNDLE_H
#define PICKET_CLI_BUNDLE_H

#include <stdio.h>

#include "base/err.h"

/* What all bundles of one command share.  Views. */
struct bundle_site {
	const char *host;
	u16 port;
	bool tls, websocket;
	const char *ca_pem;
	const u8 *ca_der;
	size_t ca_der_n;
	const char *subscribe, *publish; /* a filter and a topic with ${device}; "" : none known */
};

struct bundles;
/* Make out (0700) when missing, and the hidden folder in it.  E_IO: why in what. */
enum err bundles_begin(const char *out, struct bundles **b, char *what, size_t cap) MUST;
/* Is out/name free?  E_EXISTS, E_RANGE. */
enum err bundles_vacant(const struct bundles *b, const char *name, char *what, size_t cap) MUST;
/* Write the files of one identity.  E_EXISTS: out/name is there; E_RANGE: a name or host that
 * cannot stand in a file; E_IO. */
enum err bundles_add(struct bundles *b, const struct bundle_site *site, const char *name,
		     const char *token, char *what, size_t cap) MUST;
/* Move all into place.  On an error everything is taken back.  */
enum err bundles_commit(struct bundles *b, char *what, size_t cap) MUST;
/* Takes away what is not in place; frees. */
void bundles_end(struct bundles **bp);

/* A name that can be a folder, a client id and a word of a shell line: letters, digits, . _ - : @,
 * not first a dot. */
bool bundle_name_ok(const char *name) MUST;
/* A DNS name or address. */
bool bundle_host_ok(const char *host) MUST;

/* ---- bundle_files.c ---- */
struct bundle_file {
	const char *name;
	/* Write the file's text. */
	void (*write)(FILE *f, const struct bundle_site *site, const char *name, const char *token);
};
const struct bundle_file *bundle_file_at(size_t i); /* NULL past the last */

#endif
