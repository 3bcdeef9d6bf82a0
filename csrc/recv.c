#include "private.h"

ssize_t
scm_rights_recv(int sock, struct scm_message *m, int flags)
{
	union scm_control control;
	struct msghdr msg;
	size_t room = m->nfds;
	ssize_t n;

	if (scm_check(m) < 0) {
		scm_clear_received(m);
		return -1;
	}
	scm_prepare_recv(&msg, &control, m);
	scm_clear_received(m);
	/* The flag is 0 on systems that lack it; see other.h and take_fds.c. */
	n = scm_recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	if (n < 0) {
		scm_close_installed(&msg);
		return -1;
	}
	scm_take(m, room, &msg);
	return n;
}
