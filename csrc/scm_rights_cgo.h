/*
 * The functions that Go calls. They return -errno on failure, so that no second result
 * is needed. Payloads are char *: for a void *, cgo would check the whole object that
 * contains the buffer, and reject it if it also contains pointers. The addresses of
 * buffers are arguments, because cgo may not pass memory that contains Go pointers.
 */
#ifndef SCM_CGO_H
#define SCM_CGO_H

#include <errno.h>
#include <string.h>

#include "cgo_names.h"
#include "scm_rights.h"

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

/*
 * A struct scm_message without its pointers. The other fields are the same. len is the
 * length of the first buffer.
 */
struct scm_cgo_message {
	size_t iovlen;
	size_t len;
	size_t nfds;
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

/* Assemble m from its parts. cred is the storage for its credentials. */
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

static inline ssize_t
scm_cgo_send(
    int sock, struct scm_cgo_message *c, const struct iovec *iov, int *fds, char *name, int flags)
{
	struct scm_message m;
	struct scm_cred cred;
	ssize_t n;

	scm_cgo_in(&m, &cred, c, iov, fds, name);
	n = scm_rights_send(sock, &m, flags);
	return n < 0 ? -errno : n;
}

/* Store in c what the call sets in a struct scm_message, also if it fails. */
static inline ssize_t
scm_cgo_recv(
    int sock, struct scm_cgo_message *c, const struct iovec *iov, int *fds, char *name, int flags)
{
	struct scm_message m;
	struct scm_cred cred;
	ssize_t n;

	scm_cgo_in(&m, &cred, c, iov, fds, name);
	n = scm_rights_recv(sock, &m, flags);
	c->nfds = m.nfds;
	c->flags = m.flags;
	c->namelen = (unsigned int)m.namelen;
	if (m.cred != NULL) {
		c->pid = (int)cred.pid;
		c->uid = (unsigned int)cred.uid;
		c->gid = (unsigned int)cred.gid;
	}
	return n < 0 ? -errno : n;
}

/* A message with at most one buffer. */
static inline ssize_t
scm_cgo_send_one(int sock, struct scm_cgo_message *c, char *p, int *fds, char *name, int flags)
{
	struct iovec iov = {p, c->len};

	return scm_cgo_send(sock, c, &iov, fds, name, flags);
}

static inline ssize_t
scm_cgo_recv_one(int sock, struct scm_cgo_message *c, char *p, int *fds, char *name, int flags)
{
	struct iovec iov = {p, c->len};

	return scm_cgo_recv(sock, c, &iov, fds, name, flags);
}

/* Fill in the buffers of c, but no more than most. */
static inline void
scm_cgo_fill(struct iovec *iov, size_t most, const struct scm_cgo_message *c, char *const *p,
    const size_t *len)
{
	size_t i;

	for (i = 0; i < c->iovlen && i < most; i++) {
		iov[i].iov_base = p[i];
		iov[i].iov_len = len[i];
	}
}

/*
 * The functions for up to most buffers. Their addresses are passed in a struct by value, which
 * cgo treats like separate arguments.
 */
#define SCM_CGO_LISTS(size, most) \
	struct scm_cgo_##size { \
		char *p[most]; \
	}; \
\
	static inline ssize_t scm_cgo_send_##size(int sock, struct scm_cgo_message *c, \
	    struct scm_cgo_##size at, const size_t *len, int *fds, char *name, int flags) \
	{ \
		struct iovec iov[most]; \
\
		scm_cgo_fill(iov, most, c, at.p, len); \
		return scm_cgo_send(sock, c, iov, fds, name, flags); \
	} \
\
	static inline ssize_t scm_cgo_recv_##size(int sock, struct scm_cgo_message *c, \
	    struct scm_cgo_##size at, const size_t *len, int *fds, char *name, int flags) \
	{ \
		struct iovec iov[most]; \
\
		scm_cgo_fill(iov, most, c, at.p, len); \
		return scm_cgo_recv(sock, c, iov, fds, name, flags); \
	}

#define SCM_CGO_SOME 64

SCM_CGO_LISTS(some, SCM_CGO_SOME)
SCM_CGO_LISTS(many, SCM_MAX_IOV)

#endif
