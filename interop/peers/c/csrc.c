/* Peer for scm_rights_send and scm_rights_recv of csrc. */
#include "peer.h"

#include "scm_rights.h"

static ssize_t
send_with_csrc(struct message *m)
{
	const struct scm_message s = {
	    .iov = m->iov, .iovlen = m->iovlen, .fds = m->fds, .nfds = m->nfds};

	return scm_rights_send(m->sock, &s, m->flags);
}

static ssize_t
recv_with_csrc(struct message *m)
{
	struct scm_message s = {.iov = m->iov, .iovlen = m->iovlen, .fds = m->fds, .nfds = m->nfds};
	ssize_t n = scm_rights_recv(m->sock, &s, m->flags);

	m->nfds = s.nfds;
	m->flags = s.flags;
	return n;
}

int
main(void)
{
	static const struct peer peer = {
	    .name = "csrc",
	    .version = SCM_VERSION,
	    .can = "stream,dgram,seqpacket,multi,iov,flags",
	    .reports_flags = 1,
	    .send = send_with_csrc,
	    .recv = recv_with_csrc,
	};

	return peer_loop(&peer);
}
