#include "private.h"

#include <fcntl.h>

/*
 * Take count descriptors that came: into m->fds as long as there are fewer than
 * room; the others are closed, and msg says MSG_CTRUNC.
 */
void
scm_take_fds(
    struct scm_message *m, size_t room, struct msghdr *msg, const unsigned char *data, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		/* Negative: refused, told in its place (SO_RIGHTS_NOTRUNC). */
		if (fd < 0 || m->nfds == room) {
			if (fd >= 0)
				scm_close_kept(fd);
			msg->msg_flags |= MSG_CTRUNC;
			continue;
		}
#ifndef MSG_CMSG_CLOEXEC
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
		m->fds[m->nfds++] = fd;
	}
}
