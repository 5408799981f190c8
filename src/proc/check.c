/* check: see look.h. */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/look.h"
#include "proc/sandbox.h"
#include "store/check.h"

void look_write(int fd, const struct look *l)
{
	if (pwrite(fd, l, sizeof(*l), 0) != (ssize_t)sizeof(*l))
		log_msg(LOG_WARN, "store", "what was found cannot be told");
}

static int judge(enum err e, const struct check_report *r, struct look *l)
{
	*l = (struct look){.records = r->records, .damaged = r->damaged, .lost = r->lost};
	if (e == E_OK && r->damaged + r->lost == 0)
		snprintf(l->text, sizeof(l->text), "%llu records%s", (unsigned long long)r->records,
			 r->sealed ? ", sealed: looked at from outside" : "");
	else
		snprintf(l->text, sizeof(l->text),
			 "%llu records, %llu of them damaged, %llu pages or entries not there%s%s",
			 (unsigned long long)r->records, (unsigned long long)r->damaged,
			 (unsigned long long)r->lost, e == E_OK ? "" : "; ",
			 e == E_OK ? "" : err_text(e));
	return e == E_OK && r->damaged + r->lost == 0 ? CHECK_SOUND : CHECK_DAMAGED;
}

int check_main(void)
{
	struct check_report r;
	struct m_ready ready;
	struct look l;
	char text[200];
	enum err e;
	int code = CHECK_FOREIGN;

	log_setup("check", LOG_INFO);
	if (!sandbox_enter(ROLE_CHECK, &ready))
		return CHECK_DAMAGED;
	e = check_file(CHECK_FD_DATA, NULL, NULL, NULL, &r, text, sizeof(text));
	if (e != E_CORRUPT) {
		code = judge(e, &r, &l);
	} else {
		l = (struct look){.records = r.records};
		snprintf(l.text, sizeof(l.text), "%s", text);
	}
	look_write(CHECK_FD_RESULT, &l);
	return code;
}
