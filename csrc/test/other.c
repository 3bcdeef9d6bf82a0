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

/* What the kernel does with descriptors: it installs none, or all, before it sets MSG_CTRUNC. */
enum kernel { DELIVERS, INSTALLS_NONE, INSTALLS_ALL, TABLE_IS_FULL };

static enum kernel kernel;

ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
	const int half_pointer = 0x7eadbeef;
	int empty = message->msg_iovlen == 0 || message->msg_iov[0].iov_len == 0;
	struct cmsghdr *cmsg;
	ssize_t n;

	if (kernel == TABLE_IS_FULL) {
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
	/* Without a control buffer, they set no flag. */
	message->msg_flags &= ~MSG_CTRUNC;
	cmsg = CMSG_FIRSTHDR(message);
	if (cmsg == NULL)
		return n;
	if ((flags & MSG_PEEK) != 0 || kernel == INSTALLS_NONE)
		raw_close(1, (const int *)(const void *)CMSG_DATA(cmsg));
	if ((flags & MSG_PEEK) != 0)
		memcpy(CMSG_DATA(cmsg), &half_pointer, sizeof(half_pointer));
	else if (kernel != DELIVERS)
		message->msg_flags |= MSG_CTRUNC;
	if (kernel == INSTALLS_NONE)
		message->msg_controllen = 0;
	/* macOS has no padding, and leaves the length of what was sent. */
	if (kernel == INSTALLS_ALL) {
		message->msg_controllen = cmsg->cmsg_len;
		cmsg->cmsg_len += 9 * sizeof(int);
	}
	return n;
}

/* Send a byte and a descriptor, and receive into this many bytes with this capacity. */
static void
pass(int type, size_t len, size_t room, int flags, ssize_t want, size_t want_nfds, int want_flags)
{
	char byte = 'x';
	int file = raw_file();
	int got[2];
	int sv[2];
	struct iovec iov;
	struct scm_message m;

	raw_pair(type, sv);
	CHECK_EQ(raw_send(sv[0], 1, 1, &file), 1);
	prepare(&m, &iov, &byte, len, got, room);
	errno = 0;
	CHECK_EQ(scm_rights_recv(sv[1], &m, flags), want);
	CHECK_EQ(errno, want < 0 ? EMFILE : 0);
	CHECK_EQ(m.nfds, want_nfds);
	CHECK_EQ(m.flags & (MSG_CTRUNC | MSG_TRUNC), want_flags);
	if (m.nfds == 1) {
		CHECK(raw_same(file, got[0]));
		raw_close(1, got);
	}
	raw_close(1, &file);
	raw_close(2, sv);
}

static void
no_capacity(int type)
{
	kernel = DELIVERS;
	pass(type, 1, 0, 0, 1, 0, MSG_CTRUNC);
}

static void
truncated(int type)
{
	kernel = INSTALLS_NONE;
	pass(type, 1, 2, 0, 1, 0, MSG_CTRUNC);
	kernel = INSTALLS_ALL;
	pass(type, 1, 2, 0, 1, 1, MSG_CTRUNC);
}

static void
descriptor_table_full(int type)
{
	kernel = TABLE_IS_FULL;
	pass(type, 1, 1, 0, -1, 0, 0);
}

static void
peek(int type)
{
	kernel = DELIVERS;
	pass(type, 1, 1, MSG_PEEK, 1, 0, 0);
}

static void
empty_buffer(int type)
{
	kernel = DELIVERS;
	pass(type, 0, 1, 0, 0, 1, type == SOCK_STREAM ? 0 : MSG_TRUNC);
}

/* A receive into an empty buffer waits too: without a message, it fails with MSG_DONTWAIT. */
static void
empty_buffer_waits(int type)
{
	int sv[2];
	struct iovec iov;
	struct scm_message m;

	kernel = DELIVERS;
	raw_pair(type, sv);
	prepare(&m, &iov, NULL, 0, NULL, 0);
	CHECK_EQ(scm_rights_recv(sv[1], &m, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
	raw_close(2, sv);
}

/* read_fd closes what a kernel installs before it sets MSG_CTRUNC. */
static void
pair(int type)
{
	static const struct {
		enum kernel kernel;
		int want, want_fd;
	} rows[] = {{INSTALLS_NONE, 1, SCM_FD_LOST}, {INSTALLS_ALL, 1, SCM_FD_LOST},
	    {TABLE_IS_FULL, -1, SCM_FD_NONE}};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char byte;
		int fd = -7;
		int file = raw_file();
		int sv[2];

		kernel = rows[i].kernel;
		raw_pair(type, sv);
		CHECK_EQ(write_fd(sv[0], "", 1, file), 1);
		CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), rows[i].want);
		CHECK_EQ(fd, rows[i].want_fd);
		raw_close(1, &file);
		raw_close(2, sv);
	}
}

int
main(void)
{
	check_run_types("SDQ", "other/no-capacity", no_capacity);
	check_run_types("SDQ", "other/truncated", truncated);
	check_run_types("SDQ", "other/descriptor-table-full", descriptor_table_full);
	check_run_types("SDQ", "other/peek", peek);
	check_run_types("SDQ", "other/empty-buffer", empty_buffer);
	check_run_types("SDQ", "other/empty-buffer-waits", empty_buffer_waits);
	check_run_types("SDQ", "other/pair", pair);
	return check_status();
}
