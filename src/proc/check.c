/* check: see check.h. */
#include "base/log.h"
#include "proc/check.h"
#include "proc/sandbox.h"
#include "store/pages.h"

int check_main(int fd)
{
	struct m_ready ready;
	struct pages *p;
	int code;

	log_setup("check", LOG_INFO);
	if (!sandbox_enter(ROLE_CHECK, &ready))
		return CHECK_DAMAGED;
	if (pages_open(&p, fd) != E_OK)
		return CHECK_FOREIGN;
	code = pages_damage(p).pages == 0 ? CHECK_SOUND : CHECK_DAMAGED;
	pages_close(&p);
	return code;
}
