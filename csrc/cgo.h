/*
 * What Go calls. Failures are -errno, so that no second value is needed.
 * Payloads are char *: for void * cgo would look at the whole object around
 * a buffer, and refuse one that lies beside pointers. Buffers come as separate
 * arguments, because memory that holds Go pointers may not be passed.
 */
#ifndef SCM_CGO_H
#define SCM_CGO_H

#include <errno.h>
#include <string.h>

#include "cgo_names.h"
#include "scm.h"

#define SCM_CGO_ARGS 8 /* buffers that are passed as arguments */

/* The macros for n descriptors: cgo cannot call one, and the tests compare them. */
static inline size_t
scm_cgo_space(size_t n)
{
	return CMSG_SPACE(n * sizeof(int));
}

static inline size_t
scm_cgo_len(size_t n)
{
	return CMSG_LEN(n * sizeof(int));
}

static inline ssize_t
scm_cgo_write_fd(int sock, const char *p, size_t len, int fd)
{
	ssize_t n = write_fd(sock, p, len, fd);

	return n < 0 ? -errno : n;
}

static inline ssize_t
scm_cgo_read_fd(int sock, char *p, size_t len, int *fd)
{
	ssize_t n = read_fd(sock, p, len, fd);

	return n < 0 ? -errno : n;
}

/* A struct scm_message without its pointers; the fields are the same. */
struct scm_cgo_message {
	size_t iovlen;
	size_t nfds;
	size_t len;
	int flags;
	unsigned int namelen;
	unsigned int options;
	int wants_cred;
	int wants_pidfd;
	int pid;
	unsigned int uid;
	unsigned int gid;
	int pidfd;
};

/* Make m of its parts; cred is where m's is kept. */
static inline void
scm_cgo_in(struct scm_message *m, struct scm_cred *cred, struct scm_cgo_message *c,
    const struct iovec *iov, int *fds, char *name)
{
	memset(m, 0, sizeof(*m));
	m->iov = c->iovlen > 0 ? iov : NULL;
	m->iovlen = c->iovlen;
	m->fds = fds;
	m->nfds = c->nfds;
	m->name = c->namelen > 0 ? name : NULL;
	m->namelen = (socklen_t)c->namelen;
	m->options = c->options;
	if (c->wants_cred) {
		cred->pid = c->pid;
		cred->uid = c->uid;
		cred->gid = c->gid;
		m->cred = cred;
	}
	if (c->wants_pidfd)
		m->pidfd = &c->pidfd;
}

/* Take what a call has set in m apart again. */
static inline void
scm_cgo_out(struct scm_cgo_message *c, const struct scm_message *m)
{
	c->nfds = m->nfds;
	c->flags = m->flags;
	c->len = m->len;
	c->namelen = (unsigned int)m->namelen;
	if (m->cred != NULL) {
		c->pid = (int)m->cred->pid;
		c->uid = (unsigned int)m->cred->uid;
		c->gid = (unsigned int)m->cred->gid;
	}
}

/* What one call of the library is, on a message that is made of its parts. */
static inline ssize_t
scm_cgo_call(int receive, int sock, struct scm_cgo_message *c, const struct iovec *iov, int *fds,
    char *name, int flags)
{
	struct scm_message m;
	struct scm_cred cred;
	ssize_t n;

	scm_cgo_in(&m, &cred, c, iov, fds, name);
	if (receive) {
		n = scm_recv(sock, &m, flags);
		scm_cgo_out(c, &m);
	} else {
		n = scm_send(sock, &m, flags);
	}
	return n < 0 ? -errno : n;
}

static inline ssize_t
scm_cgo_args(int receive, int sock, struct scm_cgo_message *c, const size_t *len, int *fds,
    char *name, int flags, char *p0, char *p1, char *p2, char *p3, char *p4, char *p5, char *p6,
    char *p7)
{
	char *const p[SCM_CGO_ARGS] = {p0, p1, p2, p3, p4, p5, p6, p7};
	struct iovec iov[SCM_CGO_ARGS];
	size_t i;

	for (i = 0; i < c->iovlen && i < SCM_CGO_ARGS; i++) {
		iov[i].iov_base = p[i];
		iov[i].iov_len = len[i];
	}
	return scm_cgo_call(receive, sock, c, iov, fds, name, flags);
}

/*
 * More buffers than arguments: they lie one behind the other in one piece of
 * memory, and len has their lengths. One that is empty has no address.
 */
static inline char *
scm_cgo_pieces(struct iovec *iov, char *piece, const size_t *len, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		iov[i].iov_base = len[i] > 0 ? piece : NULL;
		iov[i].iov_len = len[i];
		piece += len[i];
	}
	return piece;
}

static inline ssize_t
scm_cgo_one(int receive, int sock, struct scm_cgo_message *c, char *piece, const size_t *len,
    int *fds, char *name, int flags)
{
	struct iovec iov[SCM_MAX_IOV];

	if (c->iovlen <= SCM_MAX_IOV) /* else it is refused, unread */
		(void)scm_cgo_pieces(iov, piece, len, c->iovlen);
	return scm_cgo_call(receive, sock, c, iov, fds, name, flags);
}

/*
 * A batch: the buffers of all messages lie in one piece, and iov, which has room
 * for all of them, is the caller's because it may be large. fds has SCM_MAX_FDS
 * numbers a message, and names SCM_CGO_NAME bytes.
 */
#define SCM_CGO_NAME 128

static inline int
scm_cgo_batch(int receive, int sock, struct scm_cgo_message *c, size_t n, struct iovec *iov,
    char *piece, const size_t *len, int *fds, char *names, int flags)
{
	struct scm_message ms[SCM_MAX_BATCH];
	struct scm_cred creds[SCM_MAX_BATCH];
	int done;
	size_t i;

	if (n > SCM_MAX_BATCH)
		n = SCM_MAX_BATCH;
	for (i = 0; i < n; i++) {
		piece = scm_cgo_pieces(iov, piece, len, c[i].iovlen);
		scm_cgo_in(
		    &ms[i], &creds[i], &c[i], iov, fds + i * SCM_MAX_FDS, names + i * SCM_CGO_NAME);
		iov += c[i].iovlen;
		len += c[i].iovlen;
	}
	done = receive ? scm_recv_batch(sock, ms, n, flags) : scm_send_batch(sock, ms, n, flags);
	if (done < 0)
		return -errno;
	for (i = 0; i < n; i++)
		scm_cgo_out(&c[i], &ms[i]);
	return done;
}

#endif
