/*
 * The control buffer of a send has every byte that libc's CMSG macros make, with zeros as padding.
 * The control buffer of a receive has space for what is requested, and no more.
 */
/* With its private functions. The public ones are the library's too. */
#define scm_rights_send own_send
#define scm_rights_recv own_recv
#include "scm_rights.c" /* NOLINT(bugprone-suspicious-include) */

#include "check.h"

#define ROOM sizeof(union scm_control)

/* Make a control buffer with the macros, and return its length. */
static size_t
with_macros(void *control, const struct scm_message *m)
{
	size_t size = sizeof(int) * m->nfds;
	size_t used = m->nfds > 0 ? CMSG_SPACE(size) : 0;
	size_t last = m->cred != NULL ? sizeof(struct ucred) : size;
	struct cmsghdr *cmsg = control;

	memset(control, 0, ROOM);
	if (m->nfds > 0) {
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = (scm_len)CMSG_LEN(size);
		memcpy(CMSG_DATA(cmsg), m->fds, size);
	}
	if (m->cred != NULL) {
		struct ucred cred = {m->cred->pid, m->cred->uid, m->cred->gid};

		cmsg = (void *)((unsigned char *)control + used);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_CREDENTIALS;
		cmsg->cmsg_len = (scm_len)CMSG_LEN(sizeof(cred));
		memcpy(CMSG_DATA(cmsg), &cred, sizeof(cred));
		used += CMSG_SPACE(sizeof(cred));
	}
	if (used > 0 && (m->options & SCM_UNPADDED) != 0)
		used -= CMSG_SPACE(last) - CMSG_LEN(last);
	return used;
}

static void
check_control(struct scm_message *m)
{
	union scm_control got;
	union scm_control want;
	struct msghdr msg;
	size_t used = with_macros(&want, m);
	size_t fds = sizeof(int) * m->nfds;

	memset(&got, 0x5a, sizeof(got));
	scm_prepare_send(&msg, &got, m);
	CHECK_EQ(msg.msg_controllen, used);
	CHECK(memcmp(&got, &want, used) == 0);

	used = m->cred != NULL ? CMSG_SPACE(sizeof(struct ucred)) : 0;
	if (m->nfds > 0)
		used += m->pidfd != NULL ? CMSG_SPACE(fds) : CMSG_LEN(fds);
	if (m->pidfd != NULL)
		used += CMSG_SPACE(sizeof(int));
	memset(&got, 0x5a, sizeof(got));
	memset(&want, 0, sizeof(want));
	scm_prepare_recv(&msg, &got, m);
	CHECK_EQ(msg.msg_controllen, used);
	CHECK(memcmp(&got, &want, used) == 0);
}

static void
every_count(void)
{
	struct scm_cred cred = {0x11223344, 0x55667788, 0x99aabbcc};
	struct scm_message m;
	int fds[SCM_MAX_FDS];
	int pidfd;
	unsigned int kind;

	for (m.nfds = 0; m.nfds < SCM_MAX_FDS; m.nfds++)
		fds[m.nfds] = 0x10203040 + 0x193 * (int)m.nfds;
	memset(&m, 0, sizeof(m));
	m.fds = fds;
	for (m.nfds = 0; m.nfds <= SCM_MAX_FDS; m.nfds++) {
		for (kind = 0; kind < 8; kind++) {
			m.options = kind & SCM_UNPADDED;
			m.cred = (kind & 2) != 0 ? &cred : NULL;
			m.pidfd = (kind & 4) != 0 ? &pidfd : NULL;
			check_control(&m);
		}
	}
}

int
main(void)
{
	check_run("control/every-count", every_count);
	return check_status();
}
