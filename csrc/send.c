#include "private.h"

#include <errno.h>

ssize_t
scm_send(int sock, const struct scm_message *m, int flags)
{
	union {
		struct cmsghdr align;
		unsigned char bytes[CMSG_SPACE(sizeof(int) * SCM_MAX_FDS)];
	} control;
	struct msghdr msg;

	if (m->nfds > SCM_MAX_FDS) {
		errno = EINVAL;
		return -1;
	}
	if (m->iovlen > SCM_MAX_IOV) {
		errno = EMSGSIZE;
		return -1;
	}
	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = (struct iovec *)(size_t)m->iov; /* sendmsg only reads it */
	msg.msg_iovlen = (scm_len)m->iovlen;
	if (m->nfds > 0) {
		memset(&control, 0, CMSG_SPACE(sizeof(int) * m->nfds));
		scm_put_fds(&msg, &control, m->fds, m->nfds);
	}
	return scm_sendmsg(sock, &msg, flags);
}
