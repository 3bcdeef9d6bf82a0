/* Declarations that the library's source files share. Not installed. */
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
 * The private functions, which scm_rights.h does not declare. Each object of libscm_rights
 * has its own static copies (see Makefile). In an archive, a hidden function would be
 * replaced by a function of the program with the same name.
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
