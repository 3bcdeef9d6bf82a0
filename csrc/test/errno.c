/* read_fd and write_fd do not change errno if they succeed, even if they close descriptors. */
#include "private.h"

#include "call.h"
#include "check.h"
#include "prepare.h"
#include "raw.h"

static void
pair(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int files[2];
	int fd = raw_file();
	int sv[2];

	raw_pair(type, sv);
	files[0] = files[1] = fd;
	prepare(&m, &iov, &byte, 1, files, 1);
	CALL(WRITE_FD, sv[0], &m, 0, 1);
	CALL(READ_FD, sv[1], &m, 0, 1);
	raw_close(1, files);
	files[0] = fd;
	CHECK_EQ(raw_send(sv[0], 1, 2, files), 1);
	CALL(READ_FD, sv[1], &m, 0, 1);
	CHECK_EQ(files[0], SCM_FD_LOST);
	raw_close(1, &fd);
	raw_close(2, sv);
}

/* The file can make close fail. */
static void
close_fails(void)
{
	errno = 0;
	scm_close_keep_errno(-1);
	CHECK_EQ(errno, 0);
}

int
main(void)
{
	check_run("errno/close-fails", close_fails);
	check_run_types("SDQ", "errno/pair", pair);
	return check_status();
}
