/*
 * port: append a file that a helper opens to a log. The parent passes the log
 * and the file's name; the helper logs the name and passes the open file back.
 *
 *	port HELPER LOG FILE	start HELPER and append FILE to LOG
 *	port			be the helper, whose socket is descriptor 3
 *
 * write_fd and read_fd are in the style of UNIX Network Programming (section
 * 15.7), in our own words: they do not clear the msghdr.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static ssize_t
write_fd(int sock, void *ptr, size_t nbytes, int sendfd)
{
	struct msghdr msg;
	struct iovec iov;
	union control control;
	struct cmsghdr *cmsg;

	iov.iov_base = ptr;
	iov.iov_len = nbytes;
	msg.msg_name = NULL;
	msg.msg_namelen = 0;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.bytes;
	msg.msg_controllen = sizeof(control.bytes);
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	*(int *)(void *)CMSG_DATA(cmsg) = sendfd;
	return sendmsg(sock, &msg, 0);
}

static ssize_t
read_fd(int sock, void *ptr, size_t nbytes, int *recvfd)
{
	struct msghdr msg;
	struct iovec iov;
	union control control;
	struct cmsghdr *cmsg;
	ssize_t n;

	iov.iov_base = ptr;
	iov.iov_len = nbytes;
	msg.msg_name = NULL;
	msg.msg_namelen = 0;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.bytes;
	msg.msg_controllen = sizeof(control.bytes);
	if ((n = recvmsg(sock, &msg, 0)) <= 0)
		return n;
	*recvfd = -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg != NULL && cmsg->cmsg_len == CMSG_LEN(sizeof(int)) &&
	    cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
		*recvfd = *(int *)(void *)CMSG_DATA(cmsg);
	return n;
}

static int
helper(int sock)
{
	char name[1024], done = 0;
	int fd, log;
	ssize_t n;

	for (;;) {
		n = read_fd(sock, name, sizeof(name) - 1, &log);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0;
		if (log < 0)
			return 1;
		name[n] = '\0';
		dprintf(log, "open %s\n", name);
		close(log);
		if ((fd = open(name, O_RDONLY)) < 0 || write_fd(sock, &done, 1, fd) < 0)
			return 1;
		close(fd);
	}
}

int
main(int argc, char **argv)
{
	int ends[2], fd, log, status;
	char text[4096];
	ssize_t n;

	if (argc < 4)
		return helper(3);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		return 1;
	if (fork() == 0) {
		close(ends[0]);
		return dup2(ends[1], 3) == 3 ? execl(argv[1], argv[1], (char *)NULL) : 1;
	}
	close(ends[1]);
	if ((log = open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0666)) < 0 ||
	    write_fd(ends[0], argv[3], strlen(argv[3]), log) < 0 ||
	    read_fd(ends[0], text, 1, &fd) != 1 || fd < 0 ||
	    (n = read(fd, text, sizeof(text))) < 0 || write(log, text, (size_t)n) != n)
		return 1;
	close(ends[0]);
	return wait(&status) < 0 || status != 0;
}
