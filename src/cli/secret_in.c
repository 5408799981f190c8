/* secret_in: reads one line into a struct secret, and shows none of it. */
#include <termios.h>
#include <unistd.h>

#include "cli/out.h"
#include "cli/secret_in.h"
#include "ipc/codes.h"

/* Unbuffered, so that no copy stays in stdio.  E_TOO_LARGE, E_EOF when nothing is there. */
static enum err line_in(int fd, struct secret *out)
{
	char b;

	out->n = 0;
	for (;;) {
		ssize_t n = read(fd, &b, 1);

		if (n < 0)
			return E_IO;
		if (n == 0 || b == '\n')
			break;
		if (out->n == sizeof(out->b))
			return E_TOO_LARGE;
		out->b[out->n++] = (u8)b;
	}
	if (out->n > 0 && out->b[out->n - 1] == '\r')
		out->n--;
	return out->n > 0 ? E_OK : E_EOF;
}

static enum err typed_once(FILE *tty, const char *prompt, const char *what, struct secret *out)
{
	int fd = fileno(tty);
	struct termios old, quiet;
	enum err e;

	if (tcgetattr(fd, &old) != 0)
		return E_IO;
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	fprintf(tty, "%s %s: ", prompt, what);
	fflush(tty);
	if (tcsetattr(fd, TCSAFLUSH, &quiet) != 0)
		return E_IO;
	e = line_in(fd, out);
	tcsetattr(fd, TCSAFLUSH, &old);
	fputc('\n', tty);
	return e;
}

static int typed(struct cli *c, const char *what, struct secret *out)
{
	FILE *tty = fopen("/dev/tty", "r+");
	struct secret again = {0};
	enum err e;

	if (tty == NULL)
		return out_refuse(c, CODE_NO_PASSWORD, NULL);
	e = typed_once(tty, "New", what, out);
	if (e == E_OK)
		e = typed_once(tty, "Repeat the", what, &again);
	if (e == E_OK && !secret_eq(out, slice_of(again.b, again.n)))
		e = E_CREDENTIAL;
	secret_clear(&again);
	fclose(tty);
	if (e == E_OK)
		return 0;
	secret_clear(out);
	return out_refuse(c, CODE_NO_PASSWORD, e == E_CREDENTIAL ? "the two differ" : err_text(e));
}

int secret_in(struct cli *c, const char *what, struct secret *out)
{
	const char *path = cli_value(c, OPT_PASSWORD_FILE);
	FILE *f = NULL;
	enum err e;

	if (path == NULL && !cli_has(c, OPT_PASSWORD_STDIN)) {
		if (isatty(fileno(c->in)))
			return typed(c, what, out);
		return out_refuse(c, CODE_NO_PASSWORD, NULL);
	}
	if (path != NULL) {
		f = fopen(path, "re");
		if (f == NULL)
			return out_refuse(c, CODE_FILE_READ, path);
	}
	e = line_in(fileno(f ? f : c->in), out);
	if (f != NULL)
		fclose(f);
	if (e == E_OK)
		return 0;
	secret_clear(out);
	return out_refuse(c, CODE_NO_PASSWORD, err_text(e));
}
