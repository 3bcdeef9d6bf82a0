/* The needs of systems other than Linux. private.h includes this file there. */
#ifndef SCM_OTHER_H
#define SCM_OTHER_H

/* Needed for msg_control on Solaris and illumos, which also have an older msghdr. */
#if defined(__sun) && !defined(_XPG4_2)
#define _XPG4_2 1
#define __EXTENSIONS__ 1
#endif

#include <pthread.h>
#include <sys/types.h>
#include <sys/socket.h>

/* macOS, Solaris, older illumos and AIX lack the flag. scm_take_fds sets close-on-exec there. */
#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#define SCM_CLOEXEC_BY_FCNTL
#endif

/*
 * macOS installs all descriptors before it truncates, and FreeBSD delivers none if the
 * control buffer is exact. This one holds more than any of these systems can send.
 */
#define SCM_CONTROL_BYTES CMSG_SPACE(sizeof(int) * 1024)
#define SCM_PAIR_BYTES SCM_CONTROL_BYTES

static inline ssize_t
scm_sendmsg(int sock, const struct msghdr *msg, int flags)
{
#ifdef __FreeBSD__
	/*
	 * Since FreeBSD 15, a message on a seqpacket socket ends only if it is sent with
	 * this flag; otherwise the receiver gets it joined with the next. On a stream the
	 * flag fails with EINVAL.
	 */
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET)
		flags |= MSG_EOR;
#endif
	return sendmsg(sock, msg, flags);
}

static inline ssize_t
scm_recvmsg(int sock, struct msghdr *msg, int flags)
{
	return recvmsg(sock, msg, flags);
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
