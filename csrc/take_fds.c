#include "private.h"

#include <fcntl.h>

/*
 * Take the descriptors out of a received msg: the first `room` of the
 * SCM_RIGHTS ones into fds, every other one is closed and MSG_CTRUNC set.
 * Returns how many are in fds.
 */
size_t
scm_take_fds(struct msghdr *msg, int *fds, size_t room)
{
	const unsigned char *end;
	const unsigned char *last;
	const unsigned char *p;
	struct cmsghdr *cmsg;
	size_t taken = 0;

	if (msg->msg_controllen < sizeof(struct cmsghdr))
		return 0;
	end = (const unsigned char *)msg->msg_control + msg->msg_controllen;
	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t len = cmsg->cmsg_len;
		size_t left = (size_t)(end - (const unsigned char *)cmsg);
		int rights;

		if (cmsg->cmsg_level != SOL_SOCKET)
			continue;
		rights = cmsg->cmsg_type == SCM_RIGHTS;
#ifdef SCM_PIDFD
		/* SO_PASSPIDFD: it came unasked, and it is a descriptor too. */
		if (!rights && cmsg->cmsg_type != SCM_PIDFD)
			continue;
#else
		if (!rights)
			continue;
#endif
		/* macOS leaves the length of what was sent, not of what arrived. */
		last = (const unsigned char *)cmsg + (len < left ? len : left);
		for (p = CMSG_DATA(cmsg); p + sizeof(int) <= last; p += sizeof(int)) {
			int fd;

			memcpy(&fd, p, sizeof(fd));
			/* Negative: refused, told in its place (SO_RIGHTS_NOTRUNC). */
			if (fd < 0 || !rights || taken == room) {
				if (fd >= 0)
					scm_close_kept(fd);
				msg->msg_flags |= MSG_CTRUNC;
				continue;
			}
#if SCM_CLOEXEC == 0
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
			fds[taken++] = fd;
		}
	}
	return taken;
}
