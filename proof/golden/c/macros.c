#include "macros.h"

#include <stdint.h>
#include <string.h>

int
macros_fd(size_t i)
{
	return (int)(0x10203040 + 0x01000193 * (uint32_t)i);
}

struct ucred
macros_cred(void)
{
	struct ucred cred = {0x11223344, 0x55667788, 0x99aabbcc};

	return cred;
}

size_t
macros_build(union macros_control *control, size_t n, int with_cred, int padded)
{
	static int fds[MAX_FDS];
	size_t last = 0;
	struct msghdr msg;
	struct cmsghdr *cmsg;
	size_t i;

	memset(control, 0, sizeof(*control));
	memset(&msg, 0, sizeof(msg));
	msg.msg_control = control->bytes;
	if (n > 0)
		msg.msg_controllen += CMSG_SPACE(sizeof(int) * n);
	if (with_cred)
		msg.msg_controllen += CMSG_SPACE(sizeof(struct ucred));
	cmsg = CMSG_FIRSTHDR(&msg);
	if (n > 0) {
		for (i = 0; i < n; i++)
			fds[i] = macros_fd(i);
		last = sizeof(int) * n;
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(last);
		memcpy(CMSG_DATA(cmsg), fds, last);
		cmsg = CMSG_NXTHDR(&msg, cmsg);
	}
	if (with_cred) {
		struct ucred cred = macros_cred();

		last = sizeof(cred);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_CREDENTIALS;
		cmsg->cmsg_len = CMSG_LEN(last);
		memcpy(CMSG_DATA(cmsg), &cred, last);
	}
	if (last > 0 && !padded)
		msg.msg_controllen -= CMSG_SPACE(last) - CMSG_LEN(last);
	return msg.msg_controllen;
}
