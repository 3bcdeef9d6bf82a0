/* Peer for write_fd and read_fd of csrc, which pass one descriptor per message. */
#include "peer.h"

#include "scm_rights.h"

static ssize_t
send_with_pair(struct message *m)
{
	if (m->iovlen != 1 || m->nfds != 1 || m->flags != 0)
		return UNSUPPORTED;
	return write_fd(m->sock, m->iov->iov_base, m->iov->iov_len, m->fds[0]);
}

static ssize_t
recv_with_pair(struct message *m)
{
	ssize_t n;

	if (m->iovlen != 1 || m->flags != 0)
		return UNSUPPORTED;
	n = read_fd(m->sock, m->iov->iov_base, m->iov->iov_len, m->fds);
	m->nfds = m->fds[0] >= 0;
	if (m->fds[0] == SCM_FD_LOST)
		m->closed = CLOSED_SOME;
	return n;
}

int
main(void)
{
	static const struct peer peer = {
	    .name = "csrc-pair",
	    .version = SCM_VERSION,
	    .can = "stream,dgram,seqpacket",
	    .room = "*,1",
	    .send = send_with_pair,
	    .recv = recv_with_pair,
	};

	return peer_loop(&peer);
}
