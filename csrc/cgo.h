/*
 * What Go calls. Failures are -errno, so that no second value is needed.
 * Payloads are char *: for void * cgo would look at the whole object around
 * a buffer, and refuse one that lies beside pointers. Buffers come as separate
 * arguments, because memory that holds Go pointers may not be passed.
 */
#ifndef SCM_CGO_H
#define SCM_CGO_H

#include <errno.h>

#include "scm.h"

#define SCM_CGO_ARGS 8 /* buffers that are passed as arguments */

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

/* What scm_cgo_send and scm_cgo_recv have in common. */
struct scm_cgo_call {
	size_t nbufs;
	size_t len[SCM_CGO_ARGS];
	size_t nfds; /* as in struct scm_message */
	int sock;
	int flags; /* the caller's, then the kernel's */
};

static inline void
scm_cgo_iov(struct iovec *iov, const struct scm_cgo_call *c, char *const *p)
{
	size_t i;

	for (i = 0; i < c->nbufs; i++) {
		iov[i].iov_base = p[i];
		iov[i].iov_len = c->len[i];
	}
}

static inline ssize_t
scm_cgo_send(const struct scm_cgo_call *c, int *fds, char *p0, char *p1, char *p2, char *p3,
    char *p4, char *p5, char *p6, char *p7)
{
	char *const p[SCM_CGO_ARGS] = {p0, p1, p2, p3, p4, p5, p6, p7};
	struct iovec iov[SCM_CGO_ARGS];
	struct scm_message m = {iov, c->nbufs, fds, c->nfds, 0};
	ssize_t n;

	scm_cgo_iov(iov, c, p);
	n = scm_send(c->sock, &m, c->flags);
	return n < 0 ? -errno : n;
}

static inline ssize_t
scm_cgo_recv(struct scm_cgo_call *c, int *fds, char *p0, char *p1, char *p2, char *p3, char *p4,
    char *p5, char *p6, char *p7)
{
	char *const p[SCM_CGO_ARGS] = {p0, p1, p2, p3, p4, p5, p6, p7};
	struct iovec iov[SCM_CGO_ARGS];
	struct scm_message m = {iov, c->nbufs, fds, c->nfds, 0};
	ssize_t n;

	scm_cgo_iov(iov, c, p);
	n = scm_recv(c->sock, &m, c->flags);
	c->nfds = m.nfds;
	c->flags = m.flags;
	return n < 0 ? -errno : n;
}

/*
 * More buffers than arguments: they lie one behind the other in one piece of
 * memory, and len has their lengths.
 */
static inline void
scm_cgo_pieces(struct iovec *iov, char *piece, const size_t *len, size_t nbufs)
{
	size_t i;

	for (i = 0; i < nbufs; i++) {
		iov[i].iov_base = piece;
		iov[i].iov_len = len[i];
		piece += len[i];
	}
}

static inline ssize_t
scm_cgo_send_pieces(const struct scm_cgo_call *c, int *fds, char *piece, const size_t *len)
{
	struct iovec iov[SCM_MAX_IOV];
	struct scm_message m = {iov, c->nbufs, fds, c->nfds, 0};
	ssize_t n;

	if (c->nbufs <= SCM_MAX_IOV)
		scm_cgo_pieces(iov, piece, len, c->nbufs);
	n = scm_send(c->sock, &m, c->flags);
	return n < 0 ? -errno : n;
}

static inline ssize_t
scm_cgo_recv_pieces(struct scm_cgo_call *c, int *fds, char *piece, const size_t *len)
{
	struct iovec iov[SCM_MAX_IOV];
	struct scm_message m = {iov, c->nbufs, fds, c->nfds, 0};
	ssize_t n;

	if (c->nbufs <= SCM_MAX_IOV)
		scm_cgo_pieces(iov, piece, len, c->nbufs);
	n = scm_recv(c->sock, &m, c->flags);
	c->nfds = m.nfds;
	c->flags = m.flags;
	return n < 0 ? -errno : n;
}

#endif
