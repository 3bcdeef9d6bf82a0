/*
 * The functions that Go calls. They return -errno on failure, so that no second result
 * is needed. Payloads are char *: for a void *, cgo would check the whole object that
 * contains the buffer, and reject it if it also contains pointers. Each buffer is a
 * separate argument, because cgo may not pass memory that contains Go pointers.
 */
#ifndef SCM_CGO_H
#define SCM_CGO_H

#include <errno.h>
#include <string.h>

#include "cgo_names.h"
#include "scm_rights.h"

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

/*
 * A message with at most one buffer and no credentials, which most messages are. It needs
 * no list of buffers. flags holds the options of a send, or the flags that a receive sets.
 */
struct scm_cgo_few {
	size_t iovlen;
	size_t len;
	size_t nfds;
	unsigned int namelen;
	int flags;
};

static inline void
scm_cgo_few_in(struct scm_message *m, struct iovec *iov, const struct scm_cgo_few *of, char *p,
    int *fds, char *name)
{
	memset(m, 0, sizeof(*m));
	iov->iov_base = p;
	iov->iov_len = of->len;
	m->iov = of->iovlen > 0 ? iov : NULL;
	m->iovlen = of->iovlen;
	m->fds = fds;
	m->nfds = of->nfds;
	m->name = of->namelen > 0 ? name : NULL;
	m->namelen = (socklen_t)of->namelen;
	m->options = (unsigned int)of->flags;
}

static inline ssize_t
scm_cgo_send_few(int sock, const struct scm_cgo_few *of, char *p, int *fds, char *name, int flags)
{
	struct iovec iov;
	struct scm_message m;
	ssize_t n;

	scm_cgo_few_in(&m, &iov, of, p, fds, name);
	n = scm_rights_send(sock, &m, flags);
	return n < 0 ? -errno : n;
}

static inline ssize_t
scm_cgo_recv_few(int sock, struct scm_cgo_few *of, char *p, int *fds, char *name, int flags)
{
	struct iovec iov;
	struct scm_message m;
	ssize_t n;

	scm_cgo_few_in(&m, &iov, of, p, fds, name);
	n = scm_rights_recv(sock, &m, flags);
	of->nfds = m.nfds;
	of->namelen = (unsigned int)m.namelen;
	of->flags = m.flags;
	return n < 0 ? -errno : n;
}

/* A struct scm_message without its pointers. The other fields are the same. */
struct scm_cgo_message {
	size_t iovlen;
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

/* Copy the fields that a call has set in m back to c. */
static inline void
scm_cgo_out(struct scm_cgo_message *c, const struct scm_message *m)
{
	c->nfds = m->nfds;
	c->flags = m->flags;
	c->namelen = (unsigned int)m->namelen;
	if (m->cred != NULL) {
		c->pid = (int)m->cred->pid;
		c->uid = (unsigned int)m->cred->uid;
		c->gid = (unsigned int)m->cred->gid;
	}
}

/* Send or receive a message that is assembled from its parts. */
static inline ssize_t
scm_cgo_call(int receive, int sock, struct scm_cgo_message *c, const struct iovec *iov, int *fds,
    char *name, int flags)
{
	struct scm_message m;
	struct scm_cred cred;
	ssize_t n;

	scm_cgo_in(&m, &cred, c, iov, fds, name);
	if (receive) {
		n = scm_rights_recv(sock, &m, flags);
		scm_cgo_out(c, &m);
	} else {
		n = scm_rights_send(sock, &m, flags);
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
 * If there are more buffers than SCM_CGO_ARGS, their addresses are passed in a struct by
 * value, which cgo treats like separate arguments.
 */
#define SCM_CGO_SOME 64

struct scm_cgo_some {
	char *p[SCM_CGO_SOME];
};

struct scm_cgo_many {
	char *p[SCM_MAX_IOV];
};

static inline ssize_t
scm_cgo_listed(int receive, int sock, struct scm_cgo_message *c, struct iovec *iov, size_t most,
    char *const *p, const size_t *len, int *fds, char *name, int flags)
{
	size_t i;

	for (i = 0; i < c->iovlen && i < most; i++) {
		iov[i].iov_base = p[i];
		iov[i].iov_len = len[i];
	}
	return scm_cgo_call(receive, sock, c, iov, fds, name, flags);
}

static inline ssize_t
scm_cgo_some(int receive, int sock, struct scm_cgo_message *c, struct scm_cgo_some at,
    const size_t *len, int *fds, char *name, int flags)
{
	struct iovec iov[SCM_CGO_SOME];

	return scm_cgo_listed(receive, sock, c, iov, SCM_CGO_SOME, at.p, len, fds, name, flags);
}

static inline ssize_t
scm_cgo_many(int receive, int sock, struct scm_cgo_message *c, struct scm_cgo_many at,
    const size_t *len, int *fds, char *name, int flags)
{
	struct iovec iov[SCM_MAX_IOV];

	return scm_cgo_listed(receive, sock, c, iov, SCM_MAX_IOV, at.p, len, fds, name, flags);
}

#endif
