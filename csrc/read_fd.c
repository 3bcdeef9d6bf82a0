/* SPDX-License-Identifier: BSD-3-Clause */
#include "private.h"

/* The read_fd of UNP §15.7. write_fd.c is the other half, and scm_rights.h documents both. */
ssize_t
read_fd(int fd, void *ptr, size_t nbytes, int *recvfd)
{
	/* The size in UNP, which is enough for two descriptors on 64-bit systems. */
	union {
		struct cmsghdr align;
		unsigned char bytes[SCM_PAIR_BYTES];
	} control;
	struct scm_message m;
	struct iovec iov;
	struct msghdr msg;
	ssize_t n;
	int one;

	*recvfd = SCM_FD_NONE;
	memset(&m, 0, sizeof(m));
	memset(&control, 0, sizeof(control));
	memset(&msg, 0, sizeof(msg));
	iov.iov_base = ptr;
	iov.iov_len = nbytes;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = &control;
	msg.msg_controllen = sizeof(control);

	n = scm_recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0) {
		scm_close_installed(&msg);
		return -1;
	}
	/*
	 * scm_take walks the control messages: it stores the first descriptor in one, closes any
	 * others, and copies the flags to m. A descriptor that it closes sets MSG_CTRUNC.
	 */
	m.fds = &one;
	scm_take(&m, 1, &msg);
	if ((m.flags & MSG_CTRUNC) != 0) {
		if (m.nfds == 1)
			scm_close_keep_errno(one);
		*recvfd = SCM_FD_LOST;
	} else if (m.nfds == 1) {
		*recvfd = one;
	}
	return n;
}
