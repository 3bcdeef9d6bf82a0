#include "private.h"

#include <errno.h>
#include <unistd.h>

/* Close fd and keep errno: a call that succeeded does not set it. */
void
scm_close_kept(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}
