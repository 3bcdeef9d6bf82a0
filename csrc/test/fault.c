/*
 * A receive that fails with EFAULT may already have installed descriptors: the kernel writes the
 * sender's address after them, and on a stream adds a pidfd even if it could not write the
 * payload. The call closes them, and errno is EFAULT.
 */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>

#define SIZE 4096

/* Return memory that the kernel cannot write to. */
static char *nowhere;

static int
cannot(int needs_pidfd)
{
	if (getenv("UNDER_VALGRIND") != NULL) {
		check_skip("valgrind reports an unwritable buffer as an error");
		return 1;
	}
	if (needs_pidfd && !raw_passes_pidfd()) {
		check_skip("this kernel sends no pidfd");
		return 1;
	}
	nowhere = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(nowhere != MAP_FAILED);
	return 0;
}

/* Make a pair whose first socket has an address. */
static void
named_pair(int type, int sv[2])
{
	struct sockaddr_un name;

	memset(&name, 0, sizeof(name));
	name.sun_family = AF_UNIX;
	raw_pair(type, sv);
	NEED(bind(sv[0], (struct sockaddr *)&name, sizeof(name.sun_family)) == 0);
}

/* The sender's address cannot be written. */
static void
address(int type)
{
	static const int flags[] = {MSG_PEEK, 0};
	struct scm_message m;
	struct iovec iov;
	char byte;
	int fds[2];
	int file;
	int sv[2];
	size_t i;

	if (cannot(0))
		return;
	named_pair(type, sv);
	file = raw_file();
	CHECK_EQ(write_fd(sv[0], "x", 1, file), 1);
	for (i = 0; i < 2; i++) {
		prepare(&m, &iov, &byte, 1, fds, 2);
		m.name = nowhere;
		m.namelen = SIZE;
		errno = 0;
		CHECK_EQ(scm_rights_recv(sv[1], &m, flags[i]), -1);
		CHECK_EQ(errno, EFAULT);
		CHECK_EQ(m.nfds, 0);
	}
	raw_close(1, &file);
	raw_close(2, sv);
	CHECK(munmap(nowhere, SIZE) == 0);
}

/* The payload cannot be written. On a stream its bytes stay queued, so the next receive fails too.
 */
static void
payload(int type)
{
	struct scm_message m;
	struct iovec iov;
	int file;
	int fds[2];
	int pidfd;
	int sv[2];
	int i;

	if (cannot(1))
		return;
	raw_pair(type, sv);
	NEED(raw_option(sv[1], SO_PASSPIDFD) == 0);
	file = raw_file();
	for (i = 0; i < 2; i++)
		CHECK_EQ(write_fd(sv[0], "x", 1, file), 1);

	prepare(&m, &iov, nowhere, 1, fds, 2);
	m.pidfd = &pidfd;
	errno = 0;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(m.nfds, 0);
	CHECK_EQ(pidfd, -1);

	errno = 0;
	CHECK_EQ(read_fd(sv[1], nowhere, 1, fds), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(fds[0], SCM_FD_NONE);

	raw_close(1, &file);
	raw_close(2, sv);
	CHECK(munmap(nowhere, SIZE) == 0);
}

int
main(void)
{
	check_run_types("DQ", "fault/address", address);
	check_run_types("SDQ", "fault/payload", payload);
	return check_status();
}
