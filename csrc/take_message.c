#include "private.h"

#include <fcntl.h>

/*
 * Take the descriptors of one control message, len bytes long, as scm_take_fds
 * does; taken are in fds already. Returns how many are then.
 */
size_t
scm_take_message(
    struct msghdr *msg, struct cmsghdr *cmsg, size_t len, int *fds, size_t room, size_t taken)
{
	const unsigned char *data = CMSG_DATA(cmsg);
	size_t count = (len - CMSG_LEN(0)) / sizeof(int);
	int rights = cmsg->cmsg_type == SCM_RIGHTS;
	size_t i;

#ifdef SCM_PIDFD
	/* SO_PASSPIDFD: it came unasked, and it is a descriptor too. */
	if (!rights && cmsg->cmsg_type != SCM_PIDFD)
		return taken;
#else
	if (!rights)
		return taken;
#endif
	for (i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		/* Negative: refused, told in its place (SO_RIGHTS_NOTRUNC). */
		if (fd < 0 || !rights || taken == room) {
			if (fd >= 0)
				scm_close_kept(fd);
			msg->msg_flags |= MSG_CTRUNC;
			continue;
		}
#ifndef MSG_CMSG_CLOEXEC
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
		fds[taken++] = fd;
	}
	return taken;
}
