/*
 * Fuzzes scm_take, read_fd or scm_rights_recv: TARGET is its name. The fuzzer chooses the control
 * data, the lengths and the flags of a receive. The descriptors in the control data are real, and
 * each must be returned or closed. Needs libFuzzer, or REPLAY to run files.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef TARGET
#define TARGET "scm_take"
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* What is left of the input, and what the kernel answers. */
static const uint8_t *input;
static size_t left;
static int failure, flags;

/* The integers in the control data. Those that are not negative are descriptors. */
static int ints[1024];
static size_t nints;

static int
next(void)
{
	return left > 0 ? (left--, *input++) : 0;
}

/*
 * Write control data, in which descriptors replace the integers of SCM_RIGHTS and SCM_PIDFD that
 * are not negative. A call that fails may have written control data too, but leaves msg as it is.
 */
static long
kernel_SYS_recvmsg(int sock, struct msghdr *msg, int how)
{
	unsigned char *at = msg->msg_control;
	size_t size = msg->msg_controllen, i, len, step;
	struct cmsghdr head;

	(void)sock;
	assert((how & MSG_CMSG_CLOEXEC) != 0);
	if (failure == 0)
		msg->msg_controllen = size = left < size ? left : size;
	if (size > 0)
		memcpy(at, input, left < size ? left : size);
	for (nints = 0; size >= sizeof(head); at += step, size -= step) {
		memcpy(&head, at, sizeof(head));
		if (head.cmsg_len < sizeof(head))
			break;
		/* Linux sends one integer with SCM_PIDFD. */
		if (head.cmsg_type == SCM_PIDFD && head.cmsg_len > CMSG_LEN(sizeof(int)))
			head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(at, &head, sizeof(head));
		len = head.cmsg_len < size ? head.cmsg_len : size;
		step = CMSG_ALIGN(len) < size ? CMSG_ALIGN(len) : size;
		if (head.cmsg_level != SOL_SOCKET ||
		    (head.cmsg_type != SCM_RIGHTS && head.cmsg_type != SCM_PIDFD))
			continue;
		for (i = sizeof(head); i + sizeof(int) <= len; i += sizeof(int)) {
			int *fd = &ints[nints++];

			memcpy(fd, at + i, sizeof(int));
			if (*fd >= 0)
				*fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
			memcpy(at + i, fd, sizeof(int));
		}
	}
	errno = failure;
	if (failure != 0)
		return -1;
	msg->msg_flags = flags;
	return 1;
}

/* The library restores errno. */
static long
kernel_SYS_close(int fd)
{
	assert(close(fd) == 0);
	errno = EIO;
	return 0;
}

/* syscall(SYS_close, fd) becomes kernel_SYS_close(fd), as in proof/cbmc/model.cbmc. */
#define syscall(number, ...) kernel_##number(__VA_ARGS__)
#define kernel_SYS_sendmsg(sock, msg, how) ((void)(sock), (void)(msg), (void)(how), 0)
#include "read_fd.c"    /* NOLINT(bugprone-suspicious-include) */
#include "scm_rights.c" /* NOLINT(bugprone-suspicious-include) */

/*
 * Check what a receive returned: n, errno, descriptors in their order, and whether it reported that
 * some were lost. All others must be closed. Close those returned.
 */
static void
check(long n, const int *fds, size_t nfds, int pidfd, int lost)
{
	size_t i, taken = 0, results = 0;

	assert(n == (failure != 0 ? -1 : 1));
	assert(errno == (failure == 512 ? EINTR : failure)); /* ERESTARTSYS */
	for (i = 0; i < nints; i++) {
		int in_fds = ints[i] >= 0 && taken < nfds && ints[i] == fds[taken];
		int returned = in_fds || (ints[i] >= 0 && ints[i] == pidfd);

		taken += (size_t)in_fds;
		results += (size_t)returned;
		assert((fcntl(ints[i], F_GETFD) >= 0) == returned);
		if (returned)
			close(ints[i]);
	}
	assert(taken == nfds && results == nfds + (pidfd >= 0));
	if (n < 0)
		assert(results == 0);
	else
		assert(lost == ((flags & MSG_CTRUNC) != 0 || results < nints));
}

/* AddressSanitizer sees accesses beyond m.fds and control, which have their exact lengths. */
static void
fuzz_message(int take, size_t capacity, int wants)
{
	struct scm_message m;
	struct scm_cred cred;
	struct msghdr msg;
	unsigned char *control = NULL;
	int pidfd = -1;
	long n = 1;

	memset(&m, 0, sizeof(m));
	memset(&msg, 0, sizeof(msg));
	m.fds = capacity > 0 ? malloc(capacity * sizeof(int)) : NULL;
	m.cred = (wants & 1) != 0 ? &cred : NULL;
	m.pidfd = (wants & 2) != 0 ? &pidfd : NULL;
	if (take && left > 0) {
		failure = 0;
		control = malloc(left);
		assert(control != NULL);
		msg.msg_control = control;
		msg.msg_controllen = left;
		(void)kernel_SYS_recvmsg(-1, &msg, MSG_CMSG_CLOEXEC);
		scm_take(&m, capacity, &msg);
	} else {
		m.nfds = capacity;
		n = scm_rights_recv(-1, &m, 0);
	}
	check(n, m.fds, m.nfds, pidfd, (m.flags & MSG_CTRUNC) != 0);
	free(m.fds);
	free(control);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t capacity;
	int wants;

	input = data;
	left = size < sizeof(ints) ? size : sizeof(ints);
	capacity = (size_t)next() % (SCM_MAX_FDS + 1);
	wants = next();
	failure = next();
	failure = failure == 255 ? 512 : failure;
	flags = next();
	if (strcmp(TARGET, "read_fd") == 0) {
		char byte;
		int fd;
		long n = read_fd(-1, &byte, 1, &fd);

		check(n, &fd, fd >= 0, -1, fd == SCM_FD_LOST);
	} else {
		assert(strcmp(TARGET, "scm_take") == 0 || strcmp(TARGET, "scm_rights_recv") == 0);
		fuzz_message(strcmp(TARGET, "scm_take") == 0, capacity, wants);
	}
	return 0;
}

#ifdef REPLAY
int
main(int argc, char **argv)
{
	static uint8_t data[4096];

	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");

		assert(file != NULL);
		LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), file));
		assert(fclose(file) == 0);
	}
	return 0;
}
#endif
