/*
 * credentials FILE [first]: pass FILE and the sender's credentials in one
 * message, and print who sent it. With first, the credentials are the first
 * control message, and the descriptor the second.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

/* Adds a control message, and returns the space that all of them take. */
static size_t
put(union control *control, size_t used, int type, const void *data, size_t size)
{
	struct cmsghdr *cmsg = (struct cmsghdr *)(void *)(control->bytes + used);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), data, size);
	return used + CMSG_SPACE(size);
}

int
main(int argc, char **argv)
{
	int ends[2], fd, on = 1;
	char byte = 0;
	struct ucred cred = {getpid(), getuid(), getgid()};
	struct iovec iov = {&byte, 1};
	union control control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
	struct cmsghdr *cmsg;
	size_t used = 0;

	if (argc < 2 || (fd = open(argv[1], O_RDONLY)) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0 ||
	    setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
		return 1;
	if (argc > 2)
		used = put(&control, used, SCM_CREDENTIALS, &cred, sizeof(cred));
	used = put(&control, used, SCM_RIGHTS, &fd, sizeof(fd));
	if (argc == 2)
		used = put(&control, used, SCM_CREDENTIALS, &cred, sizeof(cred));
	msg.msg_controllen = used;
	if (sendmsg(ends[0], &msg, 0) != 1)
		return 1;
	close(fd);

	memset(&control, 0, sizeof(control));
	msg.msg_controllen = sizeof(control);
	if (recvmsg(ends[1], &msg, 0) != 1)
		return 1;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_type == SCM_CREDENTIALS)
			memcpy(&cred, CMSG_DATA(cmsg), sizeof(cred));
		if (cmsg->cmsg_type == SCM_RIGHTS) {
			memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
			close(fd);
		}
	}
	printf("user %u sent %s\n", cred.uid, argv[1]);
	return 0;
}
