#include "private.h"

#include <fcntl.h>

/*
 * Append count received descriptors to m->fds, up to a total of room. Close the others,
 * and set MSG_CTRUNC in msg.
 */
void
scm_take_fds(
    struct scm_message *m, size_t room, struct msghdr *msg, const unsigned char *data, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		/* SO_RIGHTS_NOTRUNC reports a rejected descriptor as a negative value. */
		if (fd < 0 || m->nfds == room) {
			if (fd >= 0)
				scm_close_keep_errno(fd);
			msg->msg_flags |= MSG_CTRUNC;
			continue;
		}
#ifdef SCM_CLOEXEC_BY_FCNTL
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
		m->fds[m->nfds++] = fd;
	}
}
