/* A successful call does not change errno, even if it closes descriptors. */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MARK 4711

static void
pair(int type)
{
	char byte;
	int file = raw_file();
	int fd;
	int sv[2];

	raw_pair(type, sv);
	errno = MARK;
	CHECK_EQ(write_fd(sv[0], "", 1, file), 1);
	CHECK_EQ(errno, MARK);
	CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 1);
	CHECK_EQ(errno, MARK);
	raw_close(1, &fd);
	raw_close(1, &file);
	raw_close(2, sv);
}

static void
lost(int type)
{
	char byte;
	int files[2];
	int fd;
	int sv[2];

	raw_pair(type, sv);
	files[0] = raw_file();
	files[1] = raw_file();
	CHECK_EQ(raw_send(sv[0], 1, 2, files), 1);
	errno = MARK;
	CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 1);
	CHECK_EQ(fd, SCM_FD_LOST);
	CHECK_EQ(errno, MARK);
	raw_close(2, files);
	raw_close(2, sv);
}

static void
message(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int files[2];
	int fd;
	int sv[2];

	raw_pair(type, sv);
	files[0] = raw_file();
	files[1] = raw_file();
	prepare(&m, &iov, &byte, 1, files, 2);
	errno = MARK;
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), 1);
	CHECK_EQ(errno, MARK);
	m.fds = &fd;
	m.nfds = 1;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(m.nfds, 1);
	CHECK_EQ(errno, MARK);
	raw_close(1, &fd);
	raw_close(2, files);
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "errno/pair", pair);
	check_run_types("SDQ", "errno/lost", lost);
	check_run_types("SDQ", "errno/message", message);
	return check_status();
}
