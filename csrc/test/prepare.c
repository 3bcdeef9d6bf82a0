#include "prepare.h"

#include <string.h>

void
prepare(struct scm_message *m, struct iovec *iov, void *base, size_t len, int *fds, size_t nfds)
{
	iov->iov_base = base;
	iov->iov_len = len;
	memset(m, 0, sizeof(*m));
	m->iov = iov;
	m->iovlen = 1;
	m->fds = fds;
	m->nfds = nfds;
}
