/* check: see check.h. */
#include "base/log.h"
#include "proc/check.h"
#include "proc/sandbox.h"
#include "store/check.h"

int check_main(int fd)
{
	struct m_ready ready;
	struct check_report r;
	char text[200];
	enum err e;

	log_setup("check", LOG_INFO);
	if (!sandbox_enter(ROLE_CHECK, &ready))
		return CHECK_DAMAGED;
	e = check_file(fd, NULL, NULL, NULL, &r, text, sizeof(text));
	if (e == E_CORRUPT) {
		log_msg(LOG_ERROR, "store", "%s", text);
		return CHECK_FOREIGN;
	}
	if (e == E_OK && r.damaged + r.lost == 0) {
		log_msg(LOG_INFO, "store", "%llu records%s", (unsigned long long)r.records,
			r.sealed ? ", looked at from outside: they are sealed" : "");
		return CHECK_SOUND;
	}
	log_msg(LOG_ERROR, "store", "%llu records, %llu of them damaged, %llu not there%s%s",
		(unsigned long long)r.records, (unsigned long long)r.damaged,
		(unsigned long long)r.lost, e == E_OK ? "" : "; ", e == E_OK ? "" : err_text(e));
	return CHECK_DAMAGED;
}
