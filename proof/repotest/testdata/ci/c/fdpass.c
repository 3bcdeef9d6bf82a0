#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fdpass.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

ssize_t
fdpass_send(int sock, const void *data, size_t size, const int *fds, size_t nfds)
{
	struct iovec iov = {(void *)(size_t)data, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	char *control = calloc(1, CMSG_SPACE(nfds * sizeof(int)));
	ssize_t n;

	if (control == NULL)
		return -1;
	if (nfds > 0) {
		struct cmsghdr *cmsg = (struct cmsghdr *)(void *)control;

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_LEN(nfds * sizeof(int));
	}
	n = sendmsg(sock, &msg, 0);
	free(control);
	return n;
}

ssize_t
fdpass_recv(int sock, void *data, size_t size, int *fds, size_t *nfds)
{
	struct iovec iov = {data, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	char *control = calloc(1, CMSG_SPACE(*nfds * sizeof(int)));
	ssize_t n;

	if (control == NULL)
		return -1;
	if (*nfds > 0) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_LEN(*nfds * sizeof(int));
	}
	*nfds = 0;
	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	for (struct cmsghdr *cmsg = n < 0 ? NULL : CMSG_FIRSTHDR(&msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		*nfds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(cmsg), *nfds * sizeof(int));
	}
	free(control);
	return n;
}
