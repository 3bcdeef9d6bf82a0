#include "private.h"

#include <errno.h>
#include <unistd.h>

/*
 * Close fd and keep errno, which a successful call must not change. libc's close is a
 * cancellation point, and a thread that is cancelled there leaves fd open.
 */
void
scm_close_keep_errno(int fd)
{
	int saved = errno;
#ifdef __linux__
	(void)syscall(SYS_close, fd);
#else
	int state = scm_disable_cancel();

	close(fd);
	scm_restore_cancel(state);
#endif
	errno = saved;
}
