/* What the library's files share; not installed. */
#ifndef SCM_PRIVATE_H
#define SCM_PRIVATE_H

/* For syscall(2) and MSG_CMSG_CLOEXEC under -std=c99. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

/* For msg_control on Solaris and illumos, which have an older msghdr too. */
#if defined(__sun) && !defined(_XPG4_2)
#define _XPG4_2 1
#define __EXTENSIONS__ 1
#endif

#include <errno.h>
#include <string.h>

/* Set by csrc.go, for the Go package alone. */
#ifdef SCM_CGO
#include "cgo_names.h"
#endif
#include "scm_rights.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <pthread.h>
#endif

/* From Linux 6.5; the number is the same on every architecture. */
#if defined(__linux__) && !defined(SCM_PIDFD)
#define SCM_PIDFD 0x04
#endif

/* macOS, Solaris, older illumos and AIX lack the flag: there scm_take_fds sets close-on-exec. */
#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#define SCM_CLOEXEC_BY_FCNTL
#endif

/*
 * Linux installs what fits and drops the rest, so there the room can be exact.
 * macOS installs everything before it cuts, FreeBSD delivers nothing at all
 * for an exact length: there the room is for more than any of them sends.
 */
#ifdef __linux__
#define SCM_CONTROL_BYTES \
	(CMSG_SPACE(sizeof(int) * SCM_MAX_FDS) + CMSG_SPACE(sizeof(struct ucred)) + \
	    CMSG_SPACE(sizeof(int)))
#define SCM_PAIR_BYTES CMSG_SPACE(sizeof(int))
#else
#define SCM_CONTROL_BYTES CMSG_SPACE(sizeof(int) * 1024)
#define SCM_PAIR_BYTES SCM_CONTROL_BYTES
#endif

/* struct cmsghdr itself cannot stand in an array: it ends in a flexible one. */
union scm_control {
	size_t align;
	unsigned char bytes[SCM_CONTROL_BYTES];
};

/*
 * The libcs disagree on the types of msghdr's and cmsghdr's lengths; all of
 * ours fit this one, which converts to any of them.
 */
typedef unsigned short scm_len;

#ifdef __linux__
/*
 * What a system call returned. A recvmmsg that a signal ends after its first
 * message leaves the kernel's ERESTARTSYS in the socket, and the next call on
 * the socket fails with it.
 */
static inline long
scm_result(long n)
{
	const int erestartsys = 512;

	if (n < 0 && errno == erestartsys)
		errno = EINTR;
	return n;
}
#endif

/* The system call itself: musl's sendmsg fails above 1024 bytes of control. */
static inline ssize_t
scm_sendmsg(int sock, const struct msghdr *msg, int flags)
{
#ifdef __linux__
	return scm_result(syscall(SYS_sendmsg, sock, msg, flags));
#elif defined(__FreeBSD__)
	/*
	 * From FreeBSD 15 on, messages on a seqpacket socket that do not end by this
	 * flag are one message for the receiver. On a stream it is EINVAL.
	 */
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET)
		flags |= MSG_EOR;
	return sendmsg(sock, msg, flags);
#else
	return sendmsg(sock, msg, flags);
#endif
}

static inline ssize_t
scm_recvmsg(int sock, struct msghdr *msg, int flags)
{
#ifdef __linux__
	return scm_result(syscall(SYS_recvmsg, sock, msg, flags));
#else
	return recvmsg(sock, msg, flags);
#endif
}

#ifndef __linux__
/*
 * While there are descriptors that the caller does not have yet, the thread must not be
 * cancelled: libc's close and fcntl may be cancellation points. On Linux the library closes
 * by SYS_close, which is none of them, and the kernel sets close-on-exec.
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

/*
 * What scm_rights.h does not declare. Each object of libscm_rights has its own (see Makefile):
 * in an archive a hidden function would give way to a program's of that name.
 */
#if defined(SCM_STATIC) && defined(__GNUC__)
#define SCM_HIDDEN static __attribute__((unused))
#elif defined(SCM_STATIC)
#define SCM_HIDDEN static
#elif defined(__GNUC__)
#define SCM_HIDDEN __attribute__((visibility("hidden")))
#else
#define SCM_HIDDEN
#endif

SCM_HIDDEN int scm_check(const struct scm_message *m);
SCM_HIDDEN void scm_prepare_send(struct msghdr *msg, void *control, const struct scm_message *m);
SCM_HIDDEN void scm_prepare_recv(struct msghdr *msg, void *control, const struct scm_message *m);
SCM_HIDDEN void scm_clear_received(struct scm_message *m);
SCM_HIDDEN void scm_take(struct scm_message *m, size_t room, struct msghdr *msg);
SCM_HIDDEN void scm_close_installed(struct msghdr *msg);
SCM_HIDDEN void scm_take_fds(struct scm_message *m, size_t room, struct msghdr *msg,
    const unsigned char *data, size_t count);
SCM_HIDDEN void scm_put(struct msghdr *msg, int type, const void *data, size_t len);
SCM_HIDDEN void scm_close_keep_errno(int fd);

#endif
