/*
 * Open files passed between processes over Unix sockets (SCM_RIGHTS).
 *
 * Each function makes one system call, retries nothing, and on failure
 * returns -1 with errno set. Every descriptor that the kernel installs
 * during a call is returned to the caller or closed before the call
 * returns; what is sent stays open and stays the caller's.
 *
 * On Linux the functions make the system call without libc's function, which
 * MemorySanitizer and ThreadSanitizer do not see. A program with MemorySanitizer
 * calls __msan_unpoison on a received payload and address, and builds the library with
 * it too: without that, what the library writes still counts as uninitialized, *recvfd
 * as well. A program with ThreadSanitizer calls __tsan_release before a send and
 * __tsan_acquire after the receive.
 *
 * On Linux no function is a cancellation point: a thread that waits in one goes
 * on waiting after pthread_cancel, and is cancelled behind it (with musl, and with
 * glibc from 2.41 on, a call with SO_RCVTIMEO or SO_SNDTIMEO ends with EINTR, and
 * a batch behind its first message). On other systems the wait is one, and only
 * the wait. Asynchronous cancellation, and a signal handler that does not return
 * (siglongjmp, pthread_exit), lose what the interrupted call has received.
 *
 * Signal handlers may call these functions if their stack is large enough. On
 * Linux scm_rights_send_batch and scm_rights_recv_batch need 44 KiB, the other
 * functions 6 KiB, beside the frame of the signal itself (AT_MINSIGSTKSZ). About
 * 3 KiB of that are for the dynamic linker, which looks up a function at its first
 * call; a program that is linked with -z now does not need them. On other systems
 * each function needs about 10 KiB.
 */
#ifndef SCM_RIGHTS_H
#define SCM_RIGHTS_H

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The shared library exports the functions, also where -fvisibility=hidden hides others. */
#if defined(__GNUC__) && !defined(SCM_CGO)
#pragma GCC visibility push(default)
#endif

#define SCM_VERSION "0.1.0"

/* The kernel's SCM_MAX_FD: more descriptors in one message are EINVAL. */
#define SCM_MAX_FDS 253

/* The kernel's UIO_MAXIOV: more buffers in one message are EMSGSIZE. */
#define SCM_MAX_IOV 1024

/* What read_fd stores when it has no descriptor to hand over. */
#define SCM_FD_NONE (-1) /* none was passed */
#define SCM_FD_LOST (-2) /* MSG_CTRUNC, or more than one received: all closed */

/*
 * Send nbytes bytes and the descriptor sendfd through the socket fd, flags 0.
 *
 * sendfd is given to the kernel as it is: -1 is EBADF. On a stream socket
 * Linux sends nothing when nbytes is 0, loses the descriptor and returns 0. A
 * socket that is not AF_UNIX drops the descriptor and reports success.
 */
ssize_t write_fd(int fd, const void *ptr, size_t nbytes, int sendfd);

/*
 * Receive up to nbytes bytes and one descriptor from the socket fd.
 *
 * *recvfd is always set: to the descriptor (close-on-exec, the caller's to
 * close), to SCM_FD_NONE, or to SCM_FD_LOST. Not for sockets with SO_PASSCRED,
 * SO_PASSPIDFD, SO_INQ or timestamps: for those messages there is no room, and
 * the result is SCM_FD_LOST.
 */
ssize_t read_fd(int fd, void *ptr, size_t nbytes, int *recvfd);

/*
 * Who sent a message, or says so. Where none was received, pid is 0 and the others are
 * -1. pid alone is 0 where the sender is outside of the receiver's PID namespace.
 *
 * At the end of a stream with SO_PASSCRED, which nobody sent, Linux reports user and
 * group 0: on a stream look first whether a byte was received, and only then at uid to
 * see whether credentials were received.
 */
struct scm_cred {
	pid_t pid;
	uid_t uid; /* (uid_t)-1 where none was received */
	gid_t gid;
};

/*
 * One whole message. What is not wanted is 0 or NULL, so that a struct which
 * begins as {0} grows no meaning in later versions.
 */
struct scm_message {
	const struct iovec *iov; /* the buffers */
	size_t iovlen;           /* how many, at most SCM_MAX_IOV */
	int *fds;                /* to send, or room to receive */
	size_t nfds;             /* how many to send; room, then how many were received */
	int flags;               /* set by a receive: MSG_CTRUNC, MSG_TRUNC, ... */
	size_t len;              /* set by a batch: bytes sent or received */
	void *name;              /* an address to send to, or room for the sender's */
	socklen_t namelen;       /* its length; room, then length, which may be more */
	struct scm_cred *cred;   /* to attach, or to be filled (needs SO_PASSCRED) */
	int *pidfd;              /* to be filled (needs SO_PASSPIDFD); -1 if none was received */
	unsigned int options;    /* SCM_UNPADDED */
};

/*
 * Sends msg_controllen as CMSG_LEN and not as CMSG_SPACE, as some programs do:
 * without the padding behind the last control message.
 */
#define SCM_UNPADDED 1u

/*
 * Send the message m through the socket sock.
 *
 * More than SCM_MAX_FDS descriptors are EINVAL, more than SCM_MAX_IOV buffers
 * EMSGSIZE, and credentials where the system has none EOPNOTSUPP, before any
 * system call. Without descriptors and credentials there is no control buffer.
 * m is not written.
 */
ssize_t scm_rights_send(int sock, const struct scm_message *m, int flags);

/*
 * Receive a message from the socket sock into m.
 *
 * Before the call m->nfds is the room in m->fds; after it, the number of descriptors
 * received, which is never more. They are close-on-exec and the caller's to close, as
 * *m->pidfd is. Descriptors that do not fit or were not asked for are closed, and
 * MSG_CTRUNC is set. A sender of more descriptors than there is room for can take the
 * room of *m->pidfd, which is then -1.
 *
 * Before the call m->namelen is the room in m->name; after it, the length of the
 * sender's address. As with recvmsg it may be more than the room: then the address was
 * truncated, and only the room is to be read. On Linux a struct sockaddr_un has too
 * little room for the longest path, whose address is one byte longer (the NUL); a
 * struct sockaddr_storage has room for every address.
 *
 * m->flags is what the kernel set, without MSG_CMSG_CLOEXEC. A failure sets all three
 * to 0: set m->nfds and m->namelen again before another try, after EINTR or EAGAIN, or
 * there is no room. Limits as scm_rights_send.
 */
ssize_t scm_rights_recv(int sock, struct scm_message *m, int flags);

/* The most messages of a batch that one system call takes. */
#define SCM_MAX_BATCH 32

/*
 * Send up to SCM_MAX_BATCH of the n messages ms, with one sendmmsg where the
 * system has it. Returns how many were sent, each with its len. If they are
 * fewer than n, call again with the others: that call returns the error, if
 * there is one. All are checked as by scm_rights_send before any is sent.
 *
 * On a stream the last one can have gone in part: its len is then less than its
 * length. Send the rest of its bytes first, without its descriptors, which went
 * with its first byte. A call sends none behind a message of more than 0x7ff00000
 * bytes, of which Linux may send a part.
 */
int scm_rights_send_batch(int sock, struct scm_message *ms, size_t n, int flags);

/*
 * Receive up to SCM_MAX_BATCH messages into the n of ms, with one recvmmsg
 * where the system has it. Returns how many were received, each as by
 * scm_rights_recv and with its len. Without MSG_WAITFORONE or MSG_DONTWAIT it waits
 * for all of them. The others have no room left, as after a failure: set it
 * again. If an error ends a batch behind its first message, Linux returns it from
 * the next call on the socket: EINTR after a signal.
 */
int scm_rights_recv_batch(int sock, struct scm_message *ms, size_t n, int flags);

#if defined(__GNUC__) && !defined(SCM_CGO)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
