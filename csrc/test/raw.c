#include "raw.h"

#include "check.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_FDS 253

union control {
	struct cmsghdr align;
	unsigned char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
};

#ifdef __linux__
static pid_t limiter;
static int limiter_sock;
#endif

void
raw_pair(int type, int sv[2])
{
	NEED(socketpair(AF_UNIX, type, 0, sv) == 0);
	NEED(fcntl(sv[0], F_SETFD, FD_CLOEXEC) == 0 && fcntl(sv[1], F_SETFD, FD_CLOEXEC) == 0);
}

void
raw_close(int n, const int *fds)
{
	int i;

	for (i = 0; i < n; i++)
		CHECK_EQ(close(fds[i]), 0);
}

int
raw_file(void)
{
#ifdef __linux__
	int fd = memfd_create("scm-test", MFD_CLOEXEC);
#else
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC); /* each has an offset of its own */
#endif

	NEED(fd >= 0);
	return fd;
}

int
raw_same(int a, int b)
{
	struct stat sa;
	struct stat sb;

	if (fstat(a, &sa) < 0 || fstat(b, &sb) < 0)
		return 0;
	if (sa.st_dev != sb.st_dev || sa.st_ino != sb.st_ino)
		return 0;
	return lseek(a, 41, SEEK_SET) == 41 && lseek(b, 2, SEEK_CUR) == 43 &&
	    lseek(a, 0, SEEK_CUR) == 43;
}

int
raw_cloexec(int fd)
{
	return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

ssize_t
raw_send(int sock, size_t n, size_t nfds, const int *fds)
{
	static char zeros[4096];
	union control control;
	struct cmsghdr *cmsg;
	struct msghdr msg;
	struct iovec iov;

	NEED(n <= sizeof(zeros) && nfds <= MAX_FDS);
	memset(&msg, 0, sizeof(msg));
	memset(&control, 0, sizeof(control));
	iov.iov_base = zeros;
	iov.iov_len = n;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (nfds > 0) {
		/* The libcs disagree on the type of lengths. This one converts to any of them. */
		unsigned short bytes = (unsigned short)(sizeof(int) * nfds);

		msg.msg_control = &control;
		msg.msg_controllen = (unsigned short)CMSG_SPACE(bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = (unsigned short)CMSG_LEN(bytes);
		memcpy(CMSG_DATA(cmsg), fds, bytes);
	}
#ifdef __linux__
	/* Make the system call directly: musl's sendmsg fails with more than 1024 bytes of control
	 * data. */
	return syscall(SYS_sendmsg, sock, &msg, MSG_NOSIGNAL);
#else
	return sendmsg(sock, &msg, 0);
#endif
}

int
raw_loses_empty(int type)
{
	struct utsname system; /* __linux__ may be undefined to test the code for other systems */

	return type == SOCK_STREAM && uname(&system) == 0 && strcmp(system.sysname, "Linux") == 0;
}

int
raw_option(int sock, int option)
{
	int on = 1;

	return setsockopt(sock, SOL_SOCKET, option, &on, sizeof(on));
}

#ifdef __linux__
int
raw_passes_pidfd(void)
{
	union control control;
	struct cmsghdr *cmsg;
	struct msghdr msg;
	struct iovec iov;
	char byte;
	int found = 0;
	int sv[2];

	raw_pair(SOCK_DGRAM, sv);
	memset(&control, 0, sizeof(control));
	memset(&msg, 0, sizeof(msg));
	iov.iov_base = &byte;
	iov.iov_len = 1;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = &control;
	msg.msg_controllen = sizeof(control);
	if (raw_option(sv[1], SO_PASSPIDFD) == 0 && raw_send(sv[0], 1, 0, NULL) == 1 &&
	    recvmsg(sv[1], &msg, MSG_CMSG_CLOEXEC) == 1 && (cmsg = CMSG_FIRSTHDR(&msg)) != NULL) {
		int pidfd;

		memcpy(&pidfd, CMSG_DATA(cmsg), sizeof(pidfd));
		found = close(pidfd) == 0;
	}
	raw_close(2, sv);
	return found;
}

/* Return the limit on descriptors that leaves exactly this many free. */
static int
limit_for(int left)
{
	int fd;

	for (fd = 0;; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (left-- == 0)
			return fd;
	}
}

/* In a child, set the limit it reads from sock, and restore the old one at the end. */
static int
keep_limit(int sock)
{
	struct rlimit old;
	struct rlimit new;
	int limit;

	if (read(sock, &limit, sizeof(limit)) != (ssize_t)sizeof(limit))
		return 1;
	if (prlimit(getppid(), RLIMIT_NOFILE, NULL, &old) < 0)
		return 1;
	new = old;
	new.rlim_cur = (rlim_t)limit;
	if (prlimit(getppid(), RLIMIT_NOFILE, &new, NULL) < 0)
		return 1;
	if (write(sock, "", 1) != 1 || read(sock, &limit, 1) != 0)
		return 1;
	return prlimit(getppid(), RLIMIT_NOFILE, &old, NULL) < 0;
}

void
raw_limit(int left)
{
	int sv[2];
	int limit;
	char done;

	raw_pair(SOCK_STREAM, sv);
	limiter = fork();
	NEED(limiter >= 0);
	if (limiter == 0) {
		(void)close(sv[0]);
		_exit(keep_limit(sv[1]));
	}
	raw_close(1, &sv[1]);
	limiter_sock = sv[0];
	limit = limit_for(left);
	NEED(write(limiter_sock, &limit, sizeof(limit)) == (ssize_t)sizeof(limit));
	NEED(read(limiter_sock, &done, 1) == 1);
}

void
raw_unlimit(void)
{
	int status;

	raw_close(1, &limiter_sock);
	NEED(waitpid(limiter, &status, 0) == limiter);
	CHECK_EQ(status, 0);
}
#endif
