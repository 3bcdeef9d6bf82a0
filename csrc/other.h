/* SPDX-License-Identifier: BSD-3-Clause */
/* The needs of systems other than Linux. private.h includes this file there. */
#ifndef SCM_OTHER_H
#define SCM_OTHER_H

/* Needed for msg_control on Solaris and illumos, which also have an older msghdr. */
#if defined(__sun) && !defined(_XPG4_2)
#define _XPG4_2 1
#define __EXTENSIONS__ 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <unistd.h>

/* macOS, Solaris, older illumos and AIX lack the flag. scm_take_fds sets close-on-exec there. */
#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#define SCM_CLOEXEC_BY_FCNTL
#endif

/*
 * Since FreeBSD 15, a message on a seqpacket socket ends only if it is sent with MSG_EOR;
 * otherwise the receiver gets it joined with the next. The kernel also returns the flag to the
 * receiver.
 */
#ifdef __FreeBSD__
#define SCM_SENDS_EOR
#endif

/*
 * The control buffer holds more descriptors than any of these systems can send. A receive that
 * requests none needs it too: without a control buffer these systems drop the descriptors and do
 * not set MSG_CTRUNC. If it is too small, macOS leaks descriptors, FreeBSD delivers none, and
 * OpenBSD fails.
 */
#define SCM_CONTROL_BYTES CMSG_SPACE(sizeof(int) * 1024)
#define SCM_PAIR_BYTES SCM_CONTROL_BYTES

static inline ssize_t
scm_sendmsg(int sock, const struct msghdr *msg, int flags)
{
#ifdef SCM_SENDS_EOR
	int type = 0;
	socklen_t len = sizeof(type);

	/* On a stream, the flag fails with EINVAL. */
	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET)
		flags |= MSG_EOR;
#endif
	return sendmsg(sock, msg, flags);
}

/* Return whether the buffers of msg hold no byte. */
static inline int
scm_is_empty(const struct msghdr *msg)
{
	size_t i;

	for (i = 0; i < (size_t)msg->msg_iovlen; i++)
		if (msg->msg_iov[i].iov_len > 0)
			return 0;
	return 1;
}

/*
 * A receive into empty buffers does not wait on these systems, so it receives a byte too. On a
 * stream, where the byte would be lost, it first waits for one. A peek has no control buffer,
 * because the kernels would return halves of pointers, or 0, as descriptors. Most kernels return
 * EMSGSIZE if the descriptor table is full.
 */
static inline ssize_t
scm_recvmsg(int sock, struct msghdr *msg, int flags)
{
	char byte;
	struct iovec one = {&byte, 1};
	int type = 0, extra = 0;
	socklen_t len = sizeof(type);
	ssize_t n;

	if (scm_is_empty(msg)) {
		(void)getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len);
		if (type != SOCK_STREAM) {
			msg->msg_iov = &one;
			msg->msg_iovlen = 1;
			extra = 1;
		} else if (recv(sock, &byte, 1, flags | MSG_PEEK) < 0) {
			return -1;
		}
	}
	if ((flags & MSG_PEEK) != 0) {
		msg->msg_control = NULL;
		msg->msg_controllen = 0;
	}
	n = recvmsg(sock, msg, flags);
#ifdef SCM_SENDS_EOR
	msg->msg_flags &= ~MSG_EOR;
#endif
	if (n < 0 && errno == EMSGSIZE && msg->msg_control != NULL)
		errno = EMFILE;
	if (extra && n > 0) {
		msg->msg_flags |= MSG_TRUNC;
		if ((flags & MSG_TRUNC) == 0) /* with the flag, n is the length of the message */
			n = 0;
	}
	return n;
}

/*
 * Disable cancellation while the library holds descriptors that the caller does not have
 * yet: libc's close and fcntl may be cancellation points. Linux does not need this. There
 * the library calls SYS_close directly, and the kernel sets close-on-exec.
 */
static inline int
scm_disable_cancel(void)
{
	int state;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	return state;
}

static inline void
scm_restore_cancel(int state)
{
	(void)pthread_setcancelstate(state, &state);
}

#endif
