#include "private.h"

/*
 * Store the results of receiving msg in m: at most room descriptors, counted in m->nfds.
 * Close all others.
 *
 * The loop does not use CMSG_NXTHDR, because the libcs differ in where it stops.
 */
void
scm_take(struct scm_message *m, size_t room, struct msghdr *msg)
{
	unsigned char *at = msg->msg_control;
	size_t left = msg->msg_controllen;
#ifndef __linux__
	int state = scm_disable_cancel();
#endif

	m->namelen = msg->msg_namelen;
	while (left >= sizeof(struct cmsghdr)) {
		struct cmsghdr *cmsg = (void *)at;
		const unsigned char *data = CMSG_DATA(cmsg);
		size_t len = cmsg->cmsg_len;
		size_t step;

		if (len < CMSG_LEN(0))
			break;
		/* macOS leaves the length of the data sent, not of the data received. */
		if (len > left)
			len = left;
		step = CMSG_SPACE(len - CMSG_LEN(0));
		len -= CMSG_LEN(0);
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
			scm_take_fds(m, room, msg, data, len / sizeof(int));
#ifdef __linux__
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_CREDENTIALS &&
		    m->cred != NULL && len >= sizeof(struct ucred)) {
			struct ucred cred;

			memcpy(&cred, data, sizeof(cred));
			m->cred->pid = cred.pid;
			m->cred->uid = cred.uid;
			m->cred->gid = cred.gid;
		}
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_PIDFD) {
			int fd = -1;

			if (m->pidfd != NULL && len >= sizeof(fd) && *m->pidfd < 0)
				memcpy(&fd, data, sizeof(fd));
			/*
			 * A pidfd is a descriptor too, even if it was not requested. A
			 * negative one is an errno: the reason why there is no pidfd.
			 * With m->nfds as the capacity, scm_take_fds keeps neither: it
			 * closes a pidfd, and sets MSG_CTRUNC.
			 */
			if (fd >= 0)
				*m->pidfd = fd;
			else
				scm_take_fds(m, m->nfds, msg, data, len / sizeof(int));
		}
#endif
		if (step >= left)
			break;
		at += step;
		left -= step;
	}
	m->flags = msg->msg_flags & ~MSG_CMSG_CLOEXEC;
#ifndef __linux__
	scm_restore_cancel(state);
#endif
}
