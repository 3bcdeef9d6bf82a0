#include "private.h"

/* Clear the results of a receive in m, including credentials and pidfd. */
void
scm_clear_received(struct scm_message *m)
{
	m->nfds = 0;
	m->flags = 0;
	m->namelen = 0;
	if (m->cred != NULL) {
		m->cred->pid = 0;
		m->cred->uid = (uid_t)-1;
		m->cred->gid = (gid_t)-1;
	}
	if (m->pidfd != NULL)
		*m->pidfd = -1;
}
