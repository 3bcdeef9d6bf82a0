#include "reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_FDS = 253 };

/* A message that is sent or received repeatedly. */
struct message {
	struct msghdr header;
	struct iovec iov;
	/* An array of words is aligned like a cmsghdr. */
	size_t control[CMSG_SPACE(MOST_FDS * sizeof(int)) / sizeof(size_t)];
};

static void
prepare(struct message *m, int fd, char *payload, struct load load)
{
	size_t length = (size_t)load.count * sizeof(int);
	struct cmsghdr *cmsg = (struct cmsghdr *)m->control;

	m->iov.iov_base = payload;
	m->iov.iov_len = (size_t)load.payload;
	m->header.msg_iov = load.payload > 0 ? &m->iov : NULL;
	m->header.msg_iovlen = load.payload > 0;
	m->header.msg_control = m->control;
	m->header.msg_controllen = CMSG_SPACE(length);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(length);
	for (int i = 0; i < load.count; i++)
		memcpy(CMSG_DATA(cmsg) + (size_t)i * sizeof(int), &fd, sizeof(fd));
}

static int
take(const struct message *m, struct load load)
{
	const struct cmsghdr *cmsg = (const struct cmsghdr *)m->control;
	int fds[MOST_FDS];
	size_t length = (size_t)load.count * sizeof(int);

	if (cmsg->cmsg_len != CMSG_LEN(length) || m->header.msg_flags & MSG_CTRUNC)
		return EPROTO;
	memcpy(fds, CMSG_DATA(cmsg), length);
	for (int i = 0; i < load.count; i++)
		if (close(fds[i]) != 0)
			return errno;
	return 0;
}

static int
pass(int a, int b, const struct message *out, struct message *in, struct load load)
{
	if (sendmsg(a, &out->header, 0) != load.payload)
		return errno;
	in->header.msg_controllen = CMSG_SPACE((size_t)load.count * sizeof(int));
	if (recvmsg(b, &in->header, MSG_CMSG_CLOEXEC) != load.payload)
		return errno;
	return take(in, load);
}

int
reference_loop(int a, int b, int fd, struct load load, long n)
{
	struct message *messages;
	char *payloads;
	int error = 0;

	if (load.count < 1 || load.count > MOST_FDS || load.payload < 0)
		return EINVAL;
	messages = calloc(2, sizeof(*messages));
	payloads = calloc(2, (size_t)load.payload + 1);
	if (messages == NULL || payloads == NULL)
		error = ENOMEM;
	for (int i = 0; i < 2 && error == 0; i++)
		prepare(&messages[i], fd, payloads + (size_t)i * (size_t)load.payload, load);
	for (; n > 0 && error == 0; n--)
		error = pass(a, b, &messages[0], &messages[1], load);
	free(payloads);
	free(messages);
	return error;
}

void
reference_echo(int sock)
{
	struct message m = {0};
	char payload;
	struct load load = {.count = 1, .payload = 1};

	prepare(&m, -1, &payload, load);
	/* The received message is sent back as it is. */
	while (recvmsg(sock, &m.header, MSG_CMSG_CLOEXEC) == load.payload) {
		if (sendmsg(sock, &m.header, 0) != load.payload || take(&m, load) != 0)
			return;
	}
}
