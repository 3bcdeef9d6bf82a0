#include "private.h"

/* Fill in msg so that sendmsg sends m. control has SCM_CONTROL_BYTES bytes. */
void
scm_prepare_send(struct msghdr *msg, void *control, const struct scm_message *m)
{
	size_t last = 0;
	size_t length = CMSG_SPACE(sizeof(int) * m->nfds);

	memset(msg, 0, sizeof(*msg));
	msg->msg_name = m->name;
	msg->msg_namelen = m->namelen;
	msg->msg_iov = (struct iovec *)(size_t)m->iov; /* sendmsg only reads it */
	msg->msg_iovlen = (scm_len)m->iovlen;
#ifdef __APPLE__
	static struct iovec nothing;

	/* macOS fails with EMSGSIZE if a message has no buffer. */
	if (m->iovlen == 0) {
		msg->msg_iov = &nothing;
		msg->msg_iovlen = 1;
	}
#endif
	if (m->nfds == 0 && m->cred == NULL)
		return;
#ifdef __linux__
	if (m->cred != NULL)
		length += CMSG_SPACE(sizeof(struct ucred));
#endif
	memset(control, 0, length);
	msg->msg_control = control;
	if (m->nfds > 0) {
		last = sizeof(int) * m->nfds;
		scm_put(msg, SCM_RIGHTS, m->fds, last);
	}
#ifdef __linux__
	if (m->cred != NULL) {
		struct ucred cred;

		cred.pid = m->cred->pid;
		cred.uid = m->cred->uid;
		cred.gid = m->cred->gid;
		last = sizeof(cred);
		scm_put(msg, SCM_CREDENTIALS, &cred, last);
	}
#endif
	if ((m->options & SCM_UNPADDED) != 0)
		msg->msg_controllen =
		    (scm_len)(msg->msg_controllen - (CMSG_SPACE(last) - CMSG_LEN(last)));
}
