/*
 * The library's branches for other systems, built here without __linux__. The recvmsg of this file
 * answers as the kernels of these systems do.
 */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Change errno, as close does if it fails. */
int
close(int fd)
{
	long n = syscall(SYS_close, fd);

	errno = EIO;
	return (int)n;
}

/* How the kernel treats descriptors: it installs none, or all, before it sets MSG_CTRUNC. */
enum kernel { DELIVERS, INSTALLS_NONE, INSTALLS_ALL, TABLE_IS_FULL };

struct row {
	const char *name;
	enum kernel kernel;
	int sends_nothing; /* instead of a byte and a descriptor */
	int pair;          /* receives with read_fd */
	size_t len, room;
	int flags;
	int want, want_errno;
	int want_nfds, want_flags, want_fd;
};

static const struct row *row;

ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
	const int half_pointer = 0x7eadbeef;
	int empty = message->msg_iovlen == 0 || message->msg_iov[0].iov_len == 0;
	struct cmsghdr *cmsg;
	ssize_t n;

	if (row->kernel == TABLE_IS_FULL) {
		errno = EMSGSIZE;
		return -1;
	}
	/* These kernels do not wait if the buffers are empty. */
	n = syscall(SYS_recvmsg, fd, message, empty ? flags | MSG_DONTWAIT : flags);
	if (n < 0 && errno == EAGAIN && empty) {
		message->msg_controllen = 0;
		message->msg_flags = 0;
		return 0;
	}
	if (n < 0)
		return -1;
	/*
	 * Without a control buffer, these kernels do not set MSG_CTRUNC. FreeBSD returns the
	 * MSG_EOR of the sender.
	 */
	message->msg_flags &= ~MSG_CTRUNC;
	message->msg_flags |= MSG_EOR;
	cmsg = CMSG_FIRSTHDR(message);
	if (cmsg == NULL)
		return n;
	if ((flags & MSG_PEEK) != 0 || row->kernel == INSTALLS_NONE)
		(void)syscall(SYS_close, *(const int *)(const void *)CMSG_DATA(cmsg));
	if ((flags & MSG_PEEK) != 0)
		memcpy(CMSG_DATA(cmsg), &half_pointer, sizeof(half_pointer));
	else if (row->kernel != DELIVERS)
		message->msg_flags |= MSG_CTRUNC;
	if (row->kernel == INSTALLS_NONE)
		message->msg_controllen = 0;
	/* macOS has no padding, and leaves the length of what was sent. */
	if (row->kernel == INSTALLS_ALL) {
		message->msg_controllen = cmsg->cmsg_len;
		cmsg->cmsg_len += 9 * sizeof(int);
	}
	return n;
}

static const struct row rows[] = {
    {"other/no-capacity", .len = 1, .want = 1, .want_flags = MSG_CTRUNC},
    {"other/installs-none", INSTALLS_NONE, .len = 1, .room = 2, .want = 1,
	.want_flags = MSG_CTRUNC},
    {"other/installs-all", INSTALLS_ALL, .len = 1, .room = 2, .want = 1, .want_nfds = 1,
	.want_flags = MSG_CTRUNC},
    {"other/table-is-full", TABLE_IS_FULL, .len = 1, .room = 1, .want = -1, .want_errno = EMFILE},
    {"other/peek", .len = 1, .room = 1, .flags = MSG_PEEK, .want = 1},
    /* On a stream, the byte is still queued. */
    {"other/empty-buffer", .room = 1, .want_nfds = 1, .want_flags = MSG_TRUNC},
    {"other/empty-buffer-waits", .sends_nothing = 1, .flags = MSG_DONTWAIT, .want = -1,
	.want_errno = EAGAIN},
    {"other/pair-installs-none", INSTALLS_NONE, .pair = 1, .len = 1, .want = 1,
	.want_fd = SCM_FD_LOST},
    {"other/pair-installs-all", INSTALLS_ALL, .pair = 1, .len = 1, .want = 1,
	.want_fd = SCM_FD_LOST},
    {"other/pair-table-is-full", TABLE_IS_FULL, .pair = 1, .len = 1, .want = -1,
	.want_errno = EMFILE, .want_fd = SCM_FD_NONE},
};

static void
receive(int type)
{
	char byte = 'x';
	int file = raw_file();
	int got[2] = {-7, -7};
	int sv[2];
	struct iovec iov;
	struct scm_message m;
	ssize_t n;

	raw_pair(type, sv);
	if (!row->sends_nothing)
		CHECK_EQ(write_fd(sv[0], "", 1, file), 1);
	prepare(&m, &iov, &byte, row->len, got, row->room);
	errno = 0;
	n = row->pair ? read_fd(sv[1], &byte, row->len, got)
		      : scm_rights_recv(sv[1], &m, row->flags);
	CHECK_EQ(errno, row->want_errno);
	CHECK_EQ(n, row->want);
	CHECK_EQ(m.nfds, row->want_nfds);
	CHECK_EQ(m.flags & (MSG_CTRUNC | MSG_TRUNC | MSG_EOR),
	    type == SOCK_STREAM ? row->want_flags & ~MSG_TRUNC : row->want_flags);
	if (row->pair)
		CHECK_EQ(got[0], row->want_fd);
	if (m.nfds == 1) {
		CHECK(raw_same(file, got[0]));
		raw_close(1, got);
	}
	raw_close(1, &file);
	raw_close(2, sv);
}

int
main(void)
{
	for (row = rows; row < rows + sizeof(rows) / sizeof(rows[0]); row++)
		check_run_types("SDQ", row->name, receive);
	return check_status();
}
