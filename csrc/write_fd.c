/* SPDX-License-Identifier: BSD-3-Clause */
#include "private.h"

/* The write_fd of UNP §15.7. read_fd.c is the other half, and scm_rights.h documents both. */
ssize_t
write_fd(int fd, const void *ptr, size_t nbytes, int sendfd)
{
	union {
		struct cmsghdr align;
		unsigned char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr msg;

	memset(&control, 0, sizeof(control));
	memset(&msg, 0, sizeof(msg));
	iov.iov_base = (void *)(size_t)ptr; /* sendmsg only reads it */
	iov.iov_len = nbytes;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = &control;
	scm_put(&msg, SCM_RIGHTS, &sendfd, sizeof(sendfd));
	return scm_sendmsg(fd, &msg, 0);
}
