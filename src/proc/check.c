/* check: see look.h. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/look.h"
#include "proc/sandbox.h"
#include "store/check.h"

void look_write(int fd, const struct look *l)
{
	if (pwrite(fd, l, sizeof(*l), 0) != (ssize_t)sizeof(*l))
		log_msg(LOG_WARN, "store", "what was found cannot be told");
}

void look_read(int fd, struct look *l)
{
	if (pread(fd, l, sizeof(*l), 0) != (ssize_t)sizeof(*l))
		*l = (struct look){0};
	l->text[sizeof(l->text) - 1] = '\0';
}

struct patience {
	struct check_report r;
	u64 until_ms; /* 0: for ever */
	bool over;
};

/* What a start reads is looked at however long it takes: broker will not be quicker. */
static bool go_on(void *arg)
{
	struct patience *p = arg;

	p->over = p->until_ms != 0 && p->r.start && clock_mono_ms() >= p->until_ms;
	return !p->over;
}

static int judge(enum err e, const struct patience *p, struct look *l)
{
	const struct check_report *r = &p->r;

	*l = (struct look){.part = e == E_STATE && p->over,
			   .records = r->records,
			   .damaged = r->damaged,
			   .lost = r->lost};
	if (l->part)
		e = E_OK;
	if (e == E_OK && r->damaged + r->lost == 0)
		snprintf(l->text, sizeof(l->text), "%llu records%s%s",
			 (unsigned long long)r->records,
			 l->part ? ", among them all that a start reads" : "",
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
	struct patience p = {0};
	struct m_ready ready;
	struct look l;
	char text[200];
	enum err e;
	int code = CHECK_FOREIGN;

	log_setup("check", LOG_INFO);
	if (!sandbox_enter(ROLE_CHECK, &ready))
		return CHECK_DAMAGED;
	look_read(CHECK_FD_RESULT, &l);
	if (l.within_ms != 0)
		p.until_ms = clock_mono_ms() + l.within_ms;
	e = check_file(CHECK_FD_DATA, NULL, go_on, &p, &p.r, text, sizeof(text));
	if (e != E_CORRUPT) {
		code = judge(e, &p, &l);
	} else {
		l = (struct look){.records = p.r.records};
		snprintf(l.text, sizeof(l.text), "%s", text);
	}
	look_write(CHECK_FD_RESULT, &l);
	return code;
}
