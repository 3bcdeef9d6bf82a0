#include "private.h"

/* Fill in msg so that recvmsg receives into m. control has SCM_CONTROL_BYTES bytes. */
void
scm_prepare_recv(struct msghdr *msg, void *control, const struct scm_message *m)
{
	size_t room = 0;

	memset(msg, 0, sizeof(*msg));
	msg->msg_name = m->name;
	/* Linux does not change the length if there is no name. */
	msg->msg_namelen = m->name != NULL ? m->namelen : 0;
	msg->msg_iov = (struct iovec *)(size_t)m->iov; /* recvmsg only reads it */
	msg->msg_iovlen = (scm_len)m->iovlen;
#ifdef __APPLE__
	static struct iovec nothing;

	/* macOS fails with EMSGSIZE if a message has no buffer. */
	if (m->iovlen == 0) {
		msg->msg_iov = &nothing;
		msg->msg_iovlen = 1;
	}
#endif
#ifdef __linux__
	/* In the order in which the kernel writes them. */
	if (m->cred != NULL)
		room += CMSG_SPACE(sizeof(struct ucred));
	if (m->nfds > 0 && m->pidfd != NULL)
		room += CMSG_SPACE(sizeof(int) * m->nfds);
	else if (m->nfds > 0)
		room += CMSG_LEN(sizeof(int) * m->nfds);
	if (m->pidfd != NULL)
		room += CMSG_SPACE(sizeof(int));
#else
	room = SCM_CONTROL_BYTES;
#endif
	if (room == 0)
		return;
	memset(control, 0, room);
	msg->msg_control = control;
	msg->msg_controllen = (scm_len)room;
}
