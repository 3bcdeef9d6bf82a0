/*
 * Peer for the sender and the receiver in a well-known Stack Overflow answer on
 * passing a descriptor, rewritten in our own words. It keeps their faults: the
 * receiver has a control buffer for many descriptors, uses the first one and
 * leaves the others open. It does not check whether there is a control message
 * or of what type, and does not set close-on-exec.
 *
 * The original sends one NUL byte and receives into a buffer of its own. Here
 * the caller chooses the payload and the buffer, so that every case can run.
 * The original exits if a call fails, and this peer answers with the error.
 */
#include "peer.h"

#include <string.h>
#include <sys/socket.h>

static ssize_t
qa_send(int sock, struct iovec *io, int fd)
{
	struct msghdr msg = {0};
	char control[CMSG_SPACE(sizeof(fd))];
	struct cmsghdr *cmsg;

	memset(control, 0, sizeof(control));
	msg.msg_iov = io;
	msg.msg_iovlen = 1;
	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);

	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memmove(CMSG_DATA(cmsg), &fd, sizeof(fd));

	return sendmsg(sock, &msg, 0);
}

static ssize_t
qa_receive(int sock, struct iovec *io, int *fd)
{
	struct msghdr msg = {0};
	char control[256];
	struct cmsghdr *cmsg;
	ssize_t n;

	msg.msg_iov = io;
	msg.msg_iovlen = 1;
	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);

	n = recvmsg(sock, &msg, 0);
	if (n < 0)
		return -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	memmove(fd, CMSG_DATA(cmsg), sizeof(*fd)); /* NOLINT: may be NULL, as in the original */
	return n;
}

static ssize_t
send_with_qa(struct message *m)
{
	if (m->iovlen != 1 || m->nfds != 1 || m->flags != 0)
		return UNSUPPORTED;
	return qa_send(m->sock, m->iov, m->fds[0]);
}

static ssize_t
recv_with_qa(struct message *m)
{
	if (m->iovlen != 1 || m->flags != 0)
		return UNSUPPORTED;
	m->nfds = 1;
	return qa_receive(m->sock, m->iov, m->fds);
}

int
main(void)
{
	static const struct peer peer = {
	    .name = "qa",
	    .version = "1",
	    .can = "stream,dgram,seqpacket",
	    .room = "*,1",
	    .send = send_with_qa,
	    .recv = recv_with_qa,
	};

	return peer_loop(&peer);
}
