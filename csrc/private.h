/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the library's source files share, as static functions: only those of scm_rights.h are
 * global. Not installed.
 */
#ifndef SCM_PRIVATE_H
#define SCM_PRIVATE_H

/* Needed for syscall(2) and MSG_CMSG_CLOEXEC with -std=c99. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#ifndef __linux__
#include "other.h"
#endif

#include <errno.h>
#include <string.h>

/* Defined by csrc.go, only for the Go package. */
#ifdef SCM_CGO
#include "cgo_names.h"
#endif
#include "scm_rights.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>

/* New in Linux 6.5. The value is the same on every architecture. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* Linux installs the descriptors that fit and drops the rest, so the buffer can be exact. */
#define SCM_CONTROL_BYTES \
	(CMSG_SPACE(sizeof(int) * SCM_MAX_FDS) + CMSG_SPACE(sizeof(struct ucred)) + \
	    CMSG_SPACE(sizeof(int)))
#define SCM_PAIR_BYTES CMSG_SPACE(sizeof(int))

/*
 * Return the result of a system call, with ERESTARTSYS replaced by EINTR. If a signal
 * ends a recvmmsg(2) after its first message, in any process that holds the socket, the
 * kernel leaves its internal ERESTARTSYS in the socket, and the next call on the socket
 * fails with it.
 */
static inline long
scm_result(long n)
{
	const int erestartsys = 512;

	if (n < 0 && errno == erestartsys)
		errno = EINTR;
	return n;
}

/* Make the system call directly: musl's sendmsg fails with more than 1024 bytes of control data. */
static inline ssize_t
scm_sendmsg(int sock, const struct msghdr *msg, int flags)
{
	return scm_result(syscall(SYS_sendmsg, sock, msg, flags));
}

static inline ssize_t
scm_recvmsg(int sock, struct msghdr *msg, int flags)
{
	return scm_result(syscall(SYS_recvmsg, sock, msg, flags));
}
#endif

/* An array of struct cmsghdr is not possible: it ends in a flexible array. */
union scm_control {
	size_t align;
	unsigned char bytes[SCM_CONTROL_BYTES];
};

/*
 * The libcs disagree on the types of the lengths in msghdr and cmsghdr. Our lengths fit
 * this type, which converts to any of theirs.
 */
typedef unsigned short scm_len;

/*
 * Close fd and keep errno, which a successful call must not change. libc's close is a
 * cancellation point, and a thread that is cancelled there leaves fd open.
 */
static inline void
scm_close_keep_errno(int fd)
{
	int saved = errno;
#ifdef __linux__
	(void)syscall(SYS_close, fd);
#else
	int state = scm_disable_cancel();

	close(fd);
	scm_restore_cancel(state);
#endif
	errno = saved;
}

/*
 * Append a control message to msg, whose zeroed buffer is large enough for it. The
 * length added to msg_controllen is CMSG_SPACE, which includes the padding.
 */
static inline void
scm_put(struct msghdr *msg, int type, const void *data, size_t len)
{
	unsigned char *at = (unsigned char *)msg->msg_control + msg->msg_controllen;
	struct cmsghdr *cmsg = (void *)at;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = (scm_len)CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), data, len);
	msg->msg_controllen = (scm_len)(msg->msg_controllen + CMSG_SPACE(len));
}

/*
 * Append count received descriptors to m->fds, up to a total of room or the first one that a
 * security module rejected. Close the others, and set MSG_CTRUNC in msg.
 */
static inline void
scm_take_fds(
    struct scm_message *m, size_t room, struct msghdr *msg, const unsigned char *data, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		/*
		 * With SO_RIGHTS_NOTRUNC, a rejected descriptor is a negative value. Without
		 * it, those that follow would not have the index that the sender gave them.
		 */
		if (fd < 0)
			room = m->nfds;
		if (m->nfds == room) {
			if (fd >= 0)
				scm_close_keep_errno(fd);
			msg->msg_flags |= MSG_CTRUNC;
			continue;
		}
#ifdef SCM_CLOEXEC_BY_FCNTL
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
		m->fds[m->nfds++] = fd;
	}
}

/*
 * Store the results of receiving msg in m: at most room descriptors, counted in m->nfds.
 * Close all others.
 *
 * The loop does not use CMSG_NXTHDR, because the libcs differ in where it stops.
 */
static inline void
scm_take(struct scm_message *m, size_t room, struct msghdr *msg)
{
	unsigned char *at = msg->msg_control;
	size_t left = msg->msg_controllen;
#ifndef __linux__
	int state = scm_disable_cancel();
#endif

	m->namelen = msg->msg_namelen;
	while (left >= sizeof(struct cmsghdr)) {
		struct cmsghdr *cmsg = (void *)at;
		const unsigned char *data = CMSG_DATA(cmsg);
		size_t len = cmsg->cmsg_len;
		size_t step;

		if (len < CMSG_LEN(0))
			break;
		/* macOS leaves the length of the data sent, not of the data received. */
		if (len > left)
			len = left;
		step = CMSG_SPACE(len - CMSG_LEN(0));
		len -= CMSG_LEN(0);
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
			scm_take_fds(m, room, msg, data, len / sizeof(int));
#ifdef __linux__
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_CREDENTIALS &&
		    m->cred != NULL && len >= sizeof(struct ucred)) {
			struct ucred cred;

			memcpy(&cred, data, sizeof(cred));
			m->cred->pid = cred.pid;
			m->cred->uid = cred.uid;
			m->cred->gid = cred.gid;
		}
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_PIDFD) {
			int fd = -1;

			if (m->pidfd != NULL && len >= sizeof(fd) && *m->pidfd < 0)
				memcpy(&fd, data, sizeof(fd));
			/*
			 * A pidfd is a descriptor too, even if it was not requested. A
			 * negative one is an errno: the reason why there is no pidfd.
			 * With m->nfds as the capacity, scm_take_fds keeps neither: it
			 * closes a pidfd, and sets MSG_CTRUNC.
			 */
			if (fd >= 0)
				*m->pidfd = fd;
			else
				scm_take_fds(m, m->nfds, msg, data, len / sizeof(int));
		}
#endif
		if (step >= left)
			break;
		at += step;
		left -= step;
	}
	m->flags = msg->msg_flags & ~MSG_CMSG_CLOEXEC;
#ifndef __linux__
	scm_restore_cancel(state);
#endif
}

/*
 * Close the descriptors that a receive installed before it failed. Linux can write control
 * messages and then fail to write the sender's address, or add a pidfd to a payload that it
 * could not write (EFAULT). The control buffer was zeroed before the call, so scm_take stops
 * where the kernel stopped writing.
 */
static inline void
scm_close_installed(struct msghdr *msg)
{
	struct scm_message none;

	memset(&none, 0, sizeof(none));
	scm_take(&none, 0, msg);
}

#endif
