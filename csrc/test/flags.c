/* The flags that scm_rights_send and scm_rights_recv take, and those that they report. */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* MSG_NOSIGNAL prevents SIGPIPE, which this process does not ignore. */
static void
nosignal(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int file = raw_file();
	int sv[2];

	raw_pair(type, sv);
	raw_close(1, &sv[1]);
	prepare(&m, &iov, &byte, 1, &file, 1);
	errno = 0;
	CHECK_EQ(scm_rights_send(sv[0], &m, MSG_NOSIGNAL), -1);
	CHECK_EQ(errno, type == SOCK_DGRAM ? ECONNREFUSED : EPIPE);
	raw_close(1, &file);
	raw_close(1, &sv[0]);
}

/* With nothing to receive, the call returns -1 and sets nfds and flags. */
static void
dontwait(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte;
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	prepare(&m, &iov, &byte, 1, &fd, 1);
	m.flags = -1;
	errno = 0;
	CHECK_EQ(scm_rights_recv(sv[1], &m, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(m.nfds, 0);
	CHECK_EQ(m.flags, 0);
	CHECK_EQ(fd, -7);
	raw_close(2, sv);
}

/* Each peek installs a new descriptor and leaves the message in the queue. */
static void
peek(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int file = raw_file();
	int fd[3];
	int sv[2];
	int i;

	raw_pair(type, sv);
	CHECK_EQ(write_fd(sv[0], "p", 1, file), 1);
	for (i = 0; i < 3; i++) {
		prepare(&m, &iov, &byte, 1, &fd[i], 1);
		CHECK_EQ(scm_rights_recv(sv[1], &m, i < 2 ? MSG_PEEK : 0), 1);
		CHECK_EQ(byte, 'p');
		CHECK_EQ(m.nfds, 1);
		CHECK(raw_same(file, fd[i]));
		CHECK(raw_cloexec(fd[i]));
	}
	CHECK(fd[0] != fd[1] && fd[1] != fd[2]);
	raw_close(3, fd);
	raw_close(1, &file);
	raw_close(2, sv);
}

/* A packet longer than the buffers sets MSG_TRUNC. Its descriptor is still received. */
static void
truncated_packet(int type)
{
	struct scm_message m;
	struct iovec iov;
	char buf[2];
	int file = raw_file();
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	CHECK_EQ(write_fd(sv[0], "hello", 5, file), 5);
	CHECK_EQ(write_fd(sv[0], "hello", 5, file), 5);
	prepare(&m, &iov, buf, sizeof(buf), &fd, 1);
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 2);
	CHECK_EQ(m.flags, MSG_TRUNC);
	CHECK_EQ(m.nfds, 1);
	CHECK(raw_same(file, fd));
	raw_close(1, &fd);
	/* With MSG_TRUNC, the kernel returns the length of the packet. */
	prepare(&m, &iov, buf, sizeof(buf), &fd, 1);
	CHECK_EQ(scm_rights_recv(sv[1], &m, MSG_TRUNC), 5);
	CHECK_EQ(m.nfds, 1);
	raw_close(1, &fd);
	raw_close(1, &file);
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "flags/nosignal", nosignal);
	check_run_types("SDQ", "flags/dontwait", dontwait);
	check_run_types("SDQ", "flags/peek", peek);
	check_run_types("DQ", "flags/truncated-packet", truncated_packet);
	return check_status();
}
