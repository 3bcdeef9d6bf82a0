/*
 * Open files passed between processes over Unix sockets (SCM_RIGHTS).
 *
 * Each function makes one system call, retries nothing, and on failure
 * returns -1 with errno set. Every descriptor that the kernel installs
 * during a call is returned to the caller or closed before the call
 * returns; what is sent stays open and stays the caller's.
 */
#ifndef SCM_H
#define SCM_H

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SCM_VERSION "0.1.0"

/* The kernel's SCM_MAX_FD: more descriptors in one message are EINVAL. */
#define SCM_MAX_FDS 253

/* The kernel's UIO_MAXIOV: more buffers in one message are EMSGSIZE. */
#define SCM_MAX_IOV 1024

/* What read_fd stores when it has no descriptor to hand over. */
#define SCM_FD_NONE (-1) /* none was passed */
#define SCM_FD_LOST (-2) /* control was cut, or not exactly one came: all closed */

/*
 * Send nbytes bytes and the descriptor sendfd through the socket fd, flags 0.
 *
 * sendfd is given to the kernel as it is: -1 is EBADF. On a stream socket
 * Linux sends nothing when nbytes is 0, loses the descriptor and returns 0.
 */
ssize_t write_fd(int fd, const void *ptr, size_t nbytes, int sendfd);

/*
 * Receive up to nbytes bytes and one descriptor from the socket fd.
 *
 * *recvfd is always set: to the descriptor (close-on-exec, the caller's to
 * close), to SCM_FD_NONE, or to SCM_FD_LOST. Not for sockets with SO_PASSCRED
 * or timestamps: those messages take the room, and the result is SCM_FD_LOST.
 */
ssize_t read_fd(int fd, void *ptr, size_t nbytes, int *recvfd);

/* One whole message. */
struct scm_message {
	const struct iovec *iov; /* the buffers */
	size_t iovlen;           /* how many, at most SCM_MAX_IOV */
	int *fds;                /* to send, or room for what comes */
	size_t nfds;             /* how many to send; room, then how many came */
	int flags;               /* set by scm_recv: MSG_CTRUNC, MSG_TRUNC, ... */
};

/*
 * Send m->iov and m->fds through the socket sock.
 *
 * More than SCM_MAX_FDS descriptors are EINVAL and more than SCM_MAX_IOV
 * buffers EMSGSIZE, before any system call. Without descriptors there is no
 * control buffer. m is not written.
 */
ssize_t scm_send(int sock, const struct scm_message *m, int flags);

/*
 * Receive a message from the socket sock into m->iov and m->fds.
 *
 * m->nfds is the room in m->fds before, and how many came after; m->flags is
 * what the kernel said, without MSG_CMSG_CLOEXEC. Both are set on failure
 * too, to 0. The descriptors are close-on-exec and the caller's to close.
 * Those that did not fit are closed, and MSG_CTRUNC is set. Limits as scm_send.
 */
ssize_t scm_recv(int sock, struct scm_message *m, int flags);

#ifdef __cplusplus
}
#endif

#endif
