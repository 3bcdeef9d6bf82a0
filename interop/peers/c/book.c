/*
 * Peer for write_fd and read_fd of UNIX Network Programming (section 15.7),
 * rewritten in our own words. It keeps their faults: padding is not set, a
 * second descriptor leaks, and so does one that is received without bytes. No
 * descriptor is close-on-exec, MSG_CTRUNC is not checked, and a control message
 * of another type exits the process. Read_fd and Write_fd, which exit on every
 * error, are left out.
 */
#include "peer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/*
 * The size of a pointer, on which expected failures depend: the control buffer has space for a
 * second descriptor only if that is 64 bits.
 */
#if SIZE_MAX > UINT32_MAX
#define BITS "64-bit"
#else
#define BITS "32-bit"
#endif

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static ssize_t
book_write_fd(int fd, void *ptr, size_t nbytes, int sendfd)
{
	union control control;
	struct cmsghdr *cmsg;
	struct msghdr msg;
	struct iovec iov;

	msg.msg_control = control.bytes;
	msg.msg_controllen = sizeof(control.bytes);

	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	*(int *)(void *)CMSG_DATA(cmsg) = sendfd;

	iov.iov_base = ptr;
	iov.iov_len = nbytes;
	msg.msg_name = NULL;
	msg.msg_namelen = 0;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;

	return sendmsg(fd, &msg, 0);
}

static void
quit(const char *why)
{
	(void)fprintf(stderr, "book: %s\n", why);
	exit(1);
}

static ssize_t
book_read_fd(int fd, void *ptr, size_t nbytes, int *recvfd)
{
	union control control;
	struct cmsghdr *cmsg;
	struct msghdr msg;
	struct iovec iov;
	ssize_t n;

	msg.msg_control = control.bytes;
	msg.msg_controllen = sizeof(control.bytes);
	iov.iov_base = ptr;
	iov.iov_len = nbytes;
	msg.msg_name = NULL;
	msg.msg_namelen = 0;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;

	n = recvmsg(fd, &msg, 0);
	if (n <= 0)
		return n;

	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg != NULL && cmsg->cmsg_len == CMSG_LEN(sizeof(int))) {
		if (cmsg->cmsg_level != SOL_SOCKET)
			quit("control level is not SOL_SOCKET");
		if (cmsg->cmsg_type != SCM_RIGHTS)
			quit("control type is not SCM_RIGHTS");
		*recvfd = *(int *)(void *)CMSG_DATA(cmsg);
	} else {
		*recvfd = -1;
	}
	return n;
}

static ssize_t
send_with_book(struct message *m)
{
	if (m->iovlen != 1 || m->nfds != 1 || m->flags != 0)
		return UNSUPPORTED;
	return book_write_fd(m->sock, m->iov->iov_base, m->iov->iov_len, m->fds[0]);
}

static ssize_t
recv_with_book(struct message *m)
{
	ssize_t n;

	if (m->iovlen != 1 || m->flags != 0)
		return UNSUPPORTED;
	m->fds[0] = -1; /* read_fd does not set it at end of file and on errors */
	n = book_read_fd(m->sock, m->iov->iov_base, m->iov->iov_len, m->fds);
	m->nfds = m->fds[0] >= 0;
	return n;
}

int
main(void)
{
	static const struct peer peer = {
	    .name = "book",
	    .version = BITS,
	    .can = "stream,dgram,seqpacket",
	    .room = "*,1",
	    .send = send_with_book,
	    .recv = recv_with_book,
	};

	return peer_loop(&peer);
}
