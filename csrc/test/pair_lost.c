/* If read_fd receives more than one descriptor, or loses one, it returns SCM_FD_LOST and closes
 * all. */
#include "check.h"
#include "raw.h"

#include "scm_rights.h"

#include <unistd.h>

/*
 * Send n descriptors and receive them with read_fd, which must close all of them. With left >= 0,
 * the process can open only left descriptors then. The next message is received normally.
 */
static void
lose(int type, size_t n, int left)
{
	char byte = 'x';
	int files[3];
	int fd = -7;
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	for (i = 0; i < n; i++)
		files[i] = raw_file();
	CHECK_EQ(raw_send(sv[0], 1, n, files), 1);
	CHECK_EQ(write_fd(sv[0], "y", 1, files[0]), 1);
	if (left >= 0)
		raw_limit(left);
	CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 1);
	if (left >= 0)
		raw_unlimit();
	CHECK_EQ(byte, 0);
	CHECK_EQ(fd, SCM_FD_LOST);
	CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 1);
	CHECK_EQ(byte, 'y');
	CHECK(raw_same(files[0], fd));
	raw_close(1, &fd);
	raw_close((int)n, files);
	raw_close(2, sv);
}

/* On 64-bit systems both fit in the space for one, and MSG_CTRUNC is not set. */
static void
two(int type)
{
	lose(type, 2, -1);
}

static void
three(int type)
{
	lose(type, 3, -1);
}

/* If the descriptor table is full, the kernel delivers the bytes without control data. */
static void
descriptor_table_full(int type)
{
	lose(type, 1, 0);
}

/* If two descriptors are sent and only one can be installed, read_fd closes it too. */
static void
one_descriptor_left(int type)
{
	lose(type, 2, 1);
}

/* With one descriptor and with none, the option's control message uses up the space. */
static void
under_option(int type, int option)
{
	char byte;
	int file = raw_file();
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	NEED(raw_option(sv[1], option) == 0);
	CHECK_EQ(write_fd(sv[0], "", 1, file), 1);
	CHECK_EQ(write(sv[0], "", 1), 1);
	CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 1);
	CHECK_EQ(fd, SCM_FD_LOST);
	CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 1);
	CHECK_EQ(fd, SCM_FD_LOST);
	raw_close(1, &file);
	raw_close(2, sv);
}

static void
passcred(int type)
{
	under_option(type, SO_PASSCRED);
}

static void
timestamp(int type)
{
	under_option(type, SO_TIMESTAMP);
}

static void
passpidfd(int type)
{
	if (!raw_passes_pidfd()) {
		check_skip("this kernel sends no pidfd");
		return;
	}
	under_option(type, SO_PASSPIDFD);
}

int
main(void)
{
	check_run_types("SDQ", "pair-lost/two", two);
	check_run_types("SDQ", "pair-lost/three", three);
	check_run_types("SDQ", "pair-lost/descriptor-table-full", descriptor_table_full);
	check_run_types("SDQ", "pair-lost/one-descriptor-left", one_descriptor_left);
	check_run_types("SDQ", "pair-lost/passcred", passcred);
	check_run_types("D", "pair-lost/timestamp", timestamp);
	check_run_types("SDQ", "pair-lost/passpidfd", passpidfd);
	return check_status();
}
