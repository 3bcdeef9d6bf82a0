#include "private.h"

/* Make control, which is zeroed and large enough, msg's one SCM_RIGHTS message. */
void
scm_put_fds(struct msghdr *msg, void *control, const int *fds, size_t nfds)
{
	struct cmsghdr *cmsg;

	msg->msg_control = control;
	msg->msg_controllen = (scm_len)CMSG_SPACE(sizeof(int) * nfds);
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = (scm_len)CMSG_LEN(sizeof(int) * nfds);
	memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * nfds);
}
