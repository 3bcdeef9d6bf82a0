#include "private.h"

#include <errno.h>

/* Reject arguments that are wrong on their face: return -1 and set errno. Otherwise return 0. */
int
scm_check(const struct scm_message *m)
{
	if (m->nfds > SCM_MAX_FDS) {
		errno = EINVAL;
		return -1;
	}
	if (m->iovlen > SCM_MAX_IOV) {
		errno = EMSGSIZE;
		return -1;
	}
#ifndef __linux__
	if (m->cred != NULL || m->pidfd != NULL) {
		errno = EOPNOTSUPP;
		return -1;
	}
#endif
	return 0;
}
