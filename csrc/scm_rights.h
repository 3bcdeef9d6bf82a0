/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pass open files between processes over Unix sockets (SCM_RIGHTS). write_fd and
 * read_fd, in write_fd.c and read_fd.c, are the pair of UNP §15.7.
 *
 * Each function makes one system call and retries nothing, except that on systems
 * other than Linux a receive into empty buffers makes up to three. On failure it returns
 * -1 and sets errno. Every descriptor that the kernel installs during a call is
 * returned to the caller or closed before the call returns. Descriptors that are
 * sent stay open and still belong to the caller.
 *
 * On Linux the functions make the system call directly, not through libc, so
 * MemorySanitizer and ThreadSanitizer do not see it. A program that uses
 * MemorySanitizer must call __msan_unpoison on a received payload and address, and
 * build the library with MemorySanitizer too. Otherwise everything that the library
 * writes counts as uninitialized, including *recvfd. A program that uses
 * ThreadSanitizer must call __tsan_release before a send and __tsan_acquire after
 * the receive.
 *
 * On Linux no function is a cancellation point. If a thread is cancelled while it
 * waits in a function, it continues to wait, and is cancelled after the call. With
 * musl, and with glibc 2.41 or later, a call on a socket with SO_RCVTIMEO or
 * SO_SNDTIMEO then fails with EINTR. On other systems the functions are cancellation
 * points, but a thread is not cancelled once it has received a message. Asynchronous
 * cancellation, or a signal handler that does not return (siglongjmp, pthread_exit),
 * loses the descriptors that the interrupted call has received.
 *
 * Signal handlers may call these functions if their stack is large enough. On Linux
 * each function needs 6 KiB in addition to the signal frame (AT_MINSIGSTKSZ). About
 * 3 KiB of that is used by the dynamic linker, which looks up a function when it is
 * first called. A program linked with -z now does not need them. On other systems each
 * function needs about 10 KiB.
 */
#ifndef SCM_RIGHTS_H
#define SCM_RIGHTS_H

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The shared library exports these functions even if it is built with -fvisibility=hidden. */
#if defined(__GNUC__) && !defined(SCM_CGO)
#pragma GCC visibility push(default)
#endif

#define SCM_VERSION "0.1.0"

/* The kernel's SCM_MAX_FD. A message with more descriptors fails with EINVAL. */
#define SCM_MAX_FDS 253

/* The kernel's UIO_MAXIOV. A message with more buffers fails with EMSGSIZE. */
#define SCM_MAX_IOV 1024

/* The values that read_fd stores in *recvfd instead of a descriptor. */
#define SCM_FD_NONE (-1) /* none was received */
#define SCM_FD_LOST (-2) /* MSG_CTRUNC, or more than one was received; all were closed */

/*
 * Send nbytes bytes and the descriptor sendfd on the socket fd, with flags 0.
 *
 * sendfd is passed to the kernel unchecked: -1 fails with EBADF. On a stream
 * socket, if nbytes is 0, Linux sends nothing, loses the descriptor and returns 0.
 * A TCP or UDP socket sends the bytes, drops the descriptor and reports success.
 *
 * If the other end is closed, the call fails with EPIPE, or with ECONNRESET if data was
 * left unread and the socket is seqpacket or the call was waiting. On a datagram socket
 * it fails with ECONNREFUSED, and later calls with ENOTCONN. EPIPE on a stream socket
 * also raises SIGPIPE, which kills the process by default. Ignore the signal, or use
 * scm_rights_send with MSG_NOSIGNAL.
 */
ssize_t write_fd(int fd, const void *ptr, size_t nbytes, int sendfd);

/*
 * Receive up to nbytes bytes and one descriptor from the socket fd.
 *
 * *recvfd is always set: to the descriptor, which is close-on-exec and which the
 * caller must close, to SCM_FD_NONE or to SCM_FD_LOST. Do not use read_fd on a
 * socket with SO_PASSCRED, SO_PASSPIDFD, SO_INQ or timestamps. The control buffer
 * is too small for their control data, so the result is SCM_FD_LOST.
 */
ssize_t read_fd(int fd, void *ptr, size_t nbytes, int *recvfd);

/*
 * The credentials of a message's sender, or those that it claims. If none were
 * received, pid is 0 and uid and gid are -1. If only pid is 0, the sender is outside
 * the receiver's PID namespace.
 *
 * At the end of a stream with SO_PASSCRED there is no sender, but Linux reports user
 * and group 0. On a stream, first check that at least one byte was received, and
 * only then whether uid shows that credentials were received.
 */
struct scm_cred {
	pid_t pid;
	uid_t uid; /* (uid_t)-1 if no credentials were received */
	gid_t gid;
};

/*
 * One whole message. Set unused fields to 0 or NULL, for example by initializing the
 * structure with {0}. Your program then still works when it is compiled with a later
 * version, which may have more fields.
 */
struct scm_message {
	const struct iovec *iov; /* the buffers */
	size_t iovlen;           /* their number, at most SCM_MAX_IOV */
	int *fds;                /* the descriptors to send, or space for received ones */
	size_t nfds;             /* their number; the capacity, then the number received */
	int flags;               /* set by a receive: MSG_CTRUNC, MSG_TRUNC, ... */
	void *name;              /* the destination, or space for the sender's address */
	socklen_t namelen;       /* its length; the capacity, then the length (can be more) */
	struct scm_cred *cred;   /* to attach, or to fill in (needs SO_PASSCRED) */
	int *pidfd;              /* to fill in (needs SO_PASSPIDFD); -1 if none was received */
	unsigned int options;    /* SCM_UNPADDED */
};

/*
 * Make msg_controllen CMSG_LEN instead of CMSG_SPACE, as some programs do. It then
 * does not include the padding after the last control message.
 */
#define SCM_UNPADDED 1u

/*
 * Send the message m on the socket sock. m is not modified.
 *
 * Before any system call, the function fails with EINVAL if there are more than
 * SCM_MAX_FDS descriptors, with EMSGSIZE if there are more than SCM_MAX_IOV
 * buffers, and with EOPNOTSUPP if the system cannot pass the requested credentials.
 * A message without descriptors and credentials has no control buffer.
 */
ssize_t scm_rights_send(int sock, const struct scm_message *m, int flags);

/*
 * Receive a message from the socket sock into m.
 *
 * Before the call, m->nfds is the capacity of m->fds. After it, m->nfds is the number
 * of descriptors received, which is never more. They and *m->pidfd are close-on-exec,
 * and the caller must close them. The call closes descriptors that exceed the capacity
 * or were not requested, and sets MSG_CTRUNC. If the message carries more descriptors
 * than the capacity, they can use up the space for *m->pidfd, which is then -1. If a
 * security module rejects a descriptor, m->fds contains only those that precede it, so each
 * has the index that the sender gave it. The call closes any that follow (SO_RIGHTS_NOTRUNC).
 * This holds within one SCM_RIGHTS control message, and Linux never sends more than one. Linux
 * also sends one integer with SCM_PIDFD; the call would neither return nor close further ones.
 *
 * Before the call, m->namelen is the capacity of m->name. After it, m->namelen is the
 * length of the sender's address. As with recvmsg, it can be more than the capacity.
 * The address was then truncated, and only as many bytes as the capacity are valid. On
 * Linux a struct sockaddr_un is one byte (the NUL) too small for the address with the
 * longest path. A struct sockaddr_storage can hold any address.
 *
 * m->flags is set to the flags that the kernel reported, without MSG_CMSG_CLOEXEC and, on
 * FreeBSD, without MSG_EOR, which scm_rights_send sets there on seqpacket sockets. A failure
 * sets m->nfds, m->namelen and m->flags to 0. Set m->nfds and m->namelen again before you
 * retry, for example after EINTR or EAGAIN, because the capacity is now 0. The limits are
 * those of scm_rights_send.
 *
 * On systems other than Linux, MSG_PEEK returns no descriptors. If the descriptor table is
 * full, the call fails with EMFILE there and the descriptors are lost, but not the bytes of
 * a stream.
 */
ssize_t scm_rights_recv(int sock, struct scm_message *m, int flags);

#if defined(__GNUC__) && !defined(SCM_CGO)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
