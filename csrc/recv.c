#include "private.h"

#include <errno.h>

ssize_t
scm_recv(int sock, struct scm_message *m, int flags)
{
	union {
		struct cmsghdr align;
		unsigned char bytes[SCM_CONTROL_BYTES];
	} control;
	struct msghdr msg;
	size_t room = m->nfds;
	ssize_t n;

	m->nfds = 0;
	m->flags = 0;
	if (room > SCM_MAX_FDS) {
		errno = EINVAL;
		return -1;
	}
	if (m->iovlen > SCM_MAX_IOV) {
		errno = EMSGSIZE;
		return -1;
	}
	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = (struct iovec *)(size_t)m->iov; /* recvmsg only reads it */
	msg.msg_iovlen = (scm_len)m->iovlen;
	if (room > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = (scm_len)SCM_ROOM(room);
		memset(&control, 0, SCM_ROOM(room));
	}
	n = scm_recvmsg(sock, &msg, flags | SCM_CLOEXEC);
	if (n < 0)
		return -1;
	m->nfds = scm_take_fds(&msg, m->fds, room);
	m->flags = msg.msg_flags & ~SCM_CLOEXEC;
	return n;
}
