#include "private.h"

#include <fcntl.h>

/*
 * Append count received descriptors to m->fds, up to a total of room or the first one that a
 * security module rejected. Close the others, and set MSG_CTRUNC in msg.
 */
void
scm_take_fds(
    struct scm_message *m, size_t room, struct msghdr *msg, const unsigned char *data, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		/*
		 * With SO_RIGHTS_NOTRUNC, a rejected descriptor is a negative value. Without
		 * it, those that follow would not have the index that the sender gave them.
		 */
		if (fd < 0)
			room = m->nfds;
		if (m->nfds == room) {
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
