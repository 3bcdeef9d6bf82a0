#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t
library_send(int sock, const unsigned char *payload, size_t bytes, const int *fds, size_t nfds)
{
	struct iovec iov = {(void *)(uintptr_t)payload, bytes};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *header;
	ssize_t n;

	if (nfds == 0)
		return sendmsg(sock, &message, 0);
	message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	message.msg_control = calloc(1, message.msg_controllen);
	if (message.msg_control == NULL)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(header), fds, nfds * sizeof(int));
	n = sendmsg(sock, &message, 0);
	free(message.msg_control);
	return n;
}

static ssize_t
library_recv(int sock, unsigned char *payload, size_t bytes, int *fds, size_t *nfds, int *flags)
{
	struct iovec iov = {.iov_len = bytes};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	iov.iov_base = payload;
	if (*nfds > 0) {
		message.msg_controllen = CMSG_LEN(*nfds * sizeof(int));
		message.msg_control = calloc(1, message.msg_controllen);
		if (message.msg_control == NULL)
			return -1;
	}
	*nfds = 0;
	n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	*flags = message.msg_flags;
	for (struct cmsghdr *header = n < 0 ? NULL : CMSG_FIRSTHDR(&message); header != NULL;
	     header = CMSG_NXTHDR(&message, header)) {
		size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
			memcpy(fds + *nfds, CMSG_DATA(header), count * sizeof(int));
			*nfds += count;
		} else if (header->cmsg_level == SOL_SOCKET &&
		    header->cmsg_type == 4) { /* SCM_PIDFD */
			int pidfd;

			memcpy(&pidfd, CMSG_DATA(header), sizeof(pidfd));
			(void)close(pidfd);
		}
	}
	free(message.msg_control);
	return n;
}
