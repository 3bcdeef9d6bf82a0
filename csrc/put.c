#include "private.h"

/*
 * Append a control message to msg, whose zeroed buffer is large enough for it. The
 * length added to msg_controllen is CMSG_SPACE, which includes the padding.
 */
void
scm_put(struct msghdr *msg, int type, const void *data, size_t len)
{
	unsigned char *at = (unsigned char *)msg->msg_control + msg->msg_controllen;
	struct cmsghdr *cmsg = (void *)at;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = (scm_len)CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), data, len);
	msg->msg_controllen = (scm_len)(msg->msg_controllen + CMSG_SPACE(len));
}
