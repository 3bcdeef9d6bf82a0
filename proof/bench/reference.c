#include "reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_FDS = 253, MOST_MESSAGES = 16 };

/* A message that is sent or received repeatedly. */
struct message {
	/* An array of words is aligned like a cmsghdr. */
	size_t control[CMSG_SPACE(MOST_FDS * sizeof(int)) / sizeof(size_t)];
	struct iovec iov;
};

struct side {
	struct message messages[MOST_MESSAGES];
	struct mmsghdr headers[MOST_MESSAGES];
};

static void
prepare(struct side *side, int fd, char *payload, struct load load)
{
	size_t length = (size_t)load.count * sizeof(int);

	for (int i = 0; i < load.messages; i++) {
		struct message *m = &side->messages[i];
		struct msghdr *header = &side->headers[i].msg_hdr;
		struct cmsghdr *cmsg = (struct cmsghdr *)m->control;

		m->iov.iov_base = payload;
		m->iov.iov_len = (size_t)load.payload;
		header->msg_iov = load.payload > 0 ? &m->iov : NULL;
		header->msg_iovlen = load.payload > 0;
		header->msg_control = m->control;
		header->msg_controllen = CMSG_SPACE(length);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(length);
		for (int j = 0; j < load.count; j++)
			memcpy(CMSG_DATA(cmsg) + (size_t)j * sizeof(int), &fd, sizeof(fd));
	}
}

static int
take(const struct message *m, const struct msghdr *header, struct load load)
{
	const struct cmsghdr *cmsg = (const struct cmsghdr *)m->control;
	int fds[MOST_FDS];
	size_t length = (size_t)load.count * sizeof(int);

	if (cmsg->cmsg_len != CMSG_LEN(length) || header->msg_flags & MSG_CTRUNC)
		return EPROTO;
	memcpy(fds, CMSG_DATA(cmsg), length);
	for (int i = 0; i < load.count; i++)
		if (close(fds[i]) != 0)
			return errno;
	return 0;
}

static int
one(int a, int b, const struct side *out, struct side *in, struct load load)
{
	struct msghdr *header = &in->headers[0].msg_hdr;

	if (sendmsg(a, &out->headers[0].msg_hdr, 0) != load.payload)
		return errno;
	header->msg_controllen = CMSG_SPACE((size_t)load.count * sizeof(int));
	if (recvmsg(b, header, MSG_CMSG_CLOEXEC) != load.payload)
		return errno;
	return take(&in->messages[0], header, load);
}

static int
batch(int a, int b, struct side *out, struct side *in, struct load load)
{
	int error = 0;

	if (sendmmsg(a, out->headers, (unsigned)load.messages, 0) != load.messages)
		return errno;
	for (int i = 0; i < load.messages; i++)
		in->headers[i].msg_hdr.msg_controllen =
		    CMSG_SPACE((size_t)load.count * sizeof(int));
	if (recvmmsg(b, in->headers, (unsigned)load.messages, MSG_CMSG_CLOEXEC, NULL) !=
	    load.messages)
		return errno;
	for (int i = 0; i < load.messages && error == 0; i++)
		error = take(&in->messages[i], &in->headers[i].msg_hdr, load);
	return error;
}

int
reference_loop(int a, int b, int fd, struct load load, long n)
{
	struct side *sides;
	char *payloads;
	int error = 0;

	if (load.count < 1 || load.count > MOST_FDS || load.messages < 1 ||
	    load.messages > MOST_MESSAGES || load.payload < 0)
		return EINVAL;
	sides = calloc(2, sizeof(*sides));
	payloads = calloc(2, (size_t)load.payload + 1);
	if (sides == NULL || payloads == NULL)
		error = ENOMEM;
	for (int i = 0; i < 2 && error == 0; i++)
		prepare(&sides[i], fd, payloads + (size_t)i * (size_t)load.payload, load);
	for (; n > 0 && error == 0; n--) {
		if (load.messages == 1)
			error = one(a, b, &sides[0], &sides[1], load);
		else
			error = batch(a, b, &sides[0], &sides[1], load);
	}
	free(payloads);
	free(sides);
	return error;
}

void
reference_echo(int sock)
{
	struct side side = {0};
	char payload;
	struct load load = {.count = 1, .payload = 1, .messages = 1};
	struct msghdr *header = &side.headers[0].msg_hdr;

	prepare(&side, -1, &payload, load);
	/* The received message is sent back as it is. */
	while (recvmsg(sock, header, MSG_CMSG_CLOEXEC) == load.payload) {
		if (sendmsg(sock, header, 0) != load.payload ||
		    take(&side.messages[0], header, load) != 0)
			return;
	}
}
