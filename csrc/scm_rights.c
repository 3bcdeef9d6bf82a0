/* SPDX-License-Identifier: BSD-3-Clause */
#include "private.h"

/* Reject arguments that are wrong on their face: return -1 and set errno. Otherwise return 0. */
static int
scm_check(const struct scm_message *m)
{
	if (m->nfds > SCM_MAX_FDS) {
		errno = EINVAL;
		return -1;
	}
	if (m->iovlen > SCM_MAX_IOV) {
		errno = EMSGSIZE;
		return -1;
	}
#ifndef __linux__
	if (m->cred != NULL || m->pidfd != NULL) {
		errno = EOPNOTSUPP;
		return -1;
	}
#endif
	return 0;
}

/* Clear the results of a receive in m, including credentials and pidfd. */
static void
scm_clear_received(struct scm_message *m)
{
	m->nfds = 0;
	m->flags = 0;
	m->namelen = 0;
	if (m->cred != NULL) {
		m->cred->pid = 0;
		m->cred->uid = (uid_t)-1;
		m->cred->gid = (gid_t)-1;
	}
	if (m->pidfd != NULL)
		*m->pidfd = -1;
}

/* Fill in msg so that sendmsg sends m. control has SCM_CONTROL_BYTES bytes. */
static void
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

ssize_t
scm_rights_send(int sock, const struct scm_message *m, int flags)
{
	union scm_control control;
	struct msghdr msg;

	if (scm_check(m) < 0)
		return -1;
	scm_prepare_send(&msg, &control, m);
	return scm_sendmsg(sock, &msg, flags);
}

/* Fill in msg so that recvmsg receives into m. control has SCM_CONTROL_BYTES bytes. */
static void
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
	/* The flag is 0 on systems that lack it; see other.h and scm_take_fds. */
	n = scm_recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	if (n < 0) {
		scm_close_installed(&msg);
		return -1;
	}
	scm_take(m, room, &msg);
	return n;
}
