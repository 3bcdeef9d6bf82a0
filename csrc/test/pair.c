/* write_fd and read_fd with one descriptor, and with none. */
#include "check.h"
#include "raw.h"

#include "scm_rights.h"

#include <string.h>
#include <unistd.h>

static void
one(int type)
{
	char buf[16];
	int file = raw_file();
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	CHECK_EQ(write_fd(sv[0], "hello", 5, file), 5);
	CHECK_EQ(read_fd(sv[1], buf, sizeof(buf), &fd), 5);
	CHECK(memcmp(buf, "hello", 5) == 0);
	CHECK(fd >= 0 && fd != file);
	CHECK(raw_same(file, fd));
	CHECK(raw_cloexec(fd));
	raw_close(1, &fd);
	raw_close(1, &file);
	raw_close(2, sv);
}

static void
bytes_only(int type)
{
	char buf[16];
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	CHECK_EQ(write(sv[0], "bytes", 5), 5);
	CHECK_EQ(read_fd(sv[1], buf, sizeof(buf), &fd), 5);
	CHECK(memcmp(buf, "bytes", 5) == 0);
	CHECK_EQ(fd, SCM_FD_NONE);
	raw_close(2, sv);
}

/* The first bytes carry the descriptor. Only a stream keeps the other bytes. */
static void
short_read(int type)
{
	char buf[16];
	int file = raw_file();
	int fd;
	int sv[2];

	raw_pair(type, sv);
	CHECK_EQ(write_fd(sv[0], "hello", 5, file), 5);
	CHECK_EQ(read_fd(sv[1], buf, 2, &fd), 2);
	CHECK(raw_same(file, fd));
	raw_close(1, &fd);
	if (type == SOCK_STREAM) {
		CHECK_EQ(read_fd(sv[1], buf, sizeof(buf), &fd), 3);
		CHECK_EQ(fd, SCM_FD_NONE);
	}
	raw_close(1, &file);
	raw_close(2, sv);
}

static void
end(int type)
{
	char byte;
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	raw_close(1, &sv[0]);
	CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 0);
	CHECK_EQ(fd, SCM_FD_NONE);
	raw_close(1, &sv[1]);
}

static void
empty(int type)
{
#ifdef __APPLE__
	(void)type;
	check_skip("it is not known what macOS does with an empty message");
#else
	char byte;
	int file = raw_file();
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	CHECK_EQ(write_fd(sv[0], NULL, 0, file), 0);
	if (raw_loses_empty(type)) {
		raw_close(1, &sv[0]);
		CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 0);
		CHECK_EQ(fd, SCM_FD_NONE);
		raw_close(1, &sv[1]);
	} else {
		CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 0);
		CHECK(raw_same(file, fd));
		CHECK(raw_cloexec(fd));
		raw_close(1, &fd);
		raw_close(2, sv);
	}
	raw_close(1, &file);
#endif
}

int
main(void)
{
	check_run_types("SDQ", "pair/one", one);
	check_run_types("SDQ", "pair/bytes-only", bytes_only);
	check_run_types("SDQ", "pair/short-read", short_read);
	check_run_types("SQ", "pair/end", end);
	check_run_types("SDQ", "pair/empty", empty);
	return check_status();
}
