#include "private.h"

/*
 * Put what msg received into m. m->nfds counts up to room; every further descriptor is closed.
 *
 * The walk is our own: the libcs' CMSG_NXTHDR differ in where they stop.
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
		/* macOS leaves the length of what was sent, not of what arrived. */
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
			 * A pidfd is a descriptor too, asked for or not. One that is
			 * negative is the reason why there is none. With no room beyond
			 * m->nfds, scm_take_fds closes each and sets MSG_CTRUNC.
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
