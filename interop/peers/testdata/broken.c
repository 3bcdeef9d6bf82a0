/*
 * A library for LD_PRELOAD. Its recvmsg leaks a duplicate of each descriptor that it receives.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, message, flags);

	if (n < 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
			int received;

			memcpy(&received, (char *)c + at, sizeof(received));
			(void)fcntl(received, F_DUPFD_CLOEXEC, 0);
		}
	}
	return n;
}

/* With RTLD_DEEPBIND, PHP's extensions would call the recvmsg of libc. */
void *
dlopen(const char *file, int mode)
{
	void *(*next)(const char *, int);

	*(void **)&next = dlsym(RTLD_NEXT, "dlopen");
	return next(file, mode & ~RTLD_DEEPBIND);
}
