#include "private.h"

/*
 * Take the descriptors out of a received msg: the first `room` of the
 * SCM_RIGHTS ones into fds, every other one is closed and MSG_CTRUNC set.
 * Returns how many are in fds.
 *
 * The walk is our own: the libcs' CMSG_NXTHDR differ in where they stop.
 */
size_t
scm_take_fds(struct msghdr *msg, int *fds, size_t room)
{
	unsigned char *at = msg->msg_control;
	size_t left = msg->msg_controllen;
	size_t taken = 0;

	while (left >= sizeof(struct cmsghdr)) {
		struct cmsghdr *cmsg = (struct cmsghdr *)(void *)at;
		size_t len = cmsg->cmsg_len;
		size_t step;

		if (len < CMSG_LEN(0))
			break;
		/* macOS leaves the length of what was sent, not of what arrived. */
		if (len > left)
			len = left;
		if (cmsg->cmsg_level == SOL_SOCKET)
			taken = scm_take_message(msg, cmsg, len, fds, room, taken);
		step = CMSG_SPACE(len - CMSG_LEN(0));
		if (step >= left)
			break;
		at += step;
		left -= step;
	}
	return taken;
}
