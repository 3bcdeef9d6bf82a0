/* scm_rights_send and scm_rights_recv with any number of descriptors and buffers. */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <string.h>
#include <unistd.h>

/* Send n descriptors with one byte, and receive them with a capacity of n. */
static void
pass(int type, size_t n)
{
	struct scm_message m;
	struct iovec iov;
	int came[SCM_MAX_FDS];
	int files[SCM_MAX_FDS];
	char byte = 'm';
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	for (i = 0; i < n; i++)
		files[i] = raw_file();
	prepare(&m, &iov, &byte, 1, files, n);
	m.flags = -1;
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), 1);
	CHECK_EQ(m.nfds, n);
	CHECK_EQ(m.flags, -1);

	byte = 0;
	m.fds = came;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(byte, 'm');
	CHECK_EQ(m.nfds, n);
	CHECK_EQ(m.flags, 0);
	for (i = 0; i < n && i < m.nfds; i++) {
		CHECK(raw_same(files[i], came[i]));
		CHECK(raw_cloexec(came[i]));
	}
	raw_close((int)m.nfds, came);
	raw_close((int)n, files);
	raw_close(2, sv);
}

static void
every_count(int type)
{
	size_t n;

	for (n = 0; n <= SCM_MAX_FDS; n++)
		pass(type, n);
}

/* A descriptor sent many times is received as many new descriptors for the same file. */
static void
repeated(int type)
{
	struct scm_message m;
	struct iovec iov;
	int came[3];
	int same[3];
	char byte = 0;
	int sv[2];

	raw_pair(type, sv);
	same[0] = same[1] = same[2] = raw_file();
	prepare(&m, &iov, &byte, 1, same, 3);
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), 1);
	m.fds = came;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(m.nfds, 3);
	CHECK(came[0] != came[1] && came[1] != came[2] && came[0] != came[2]);
	CHECK(raw_same(came[0], came[1]) && raw_same(came[1], came[2]));
	raw_close(3, came);
	raw_close(1, same);
	raw_close(2, sv);
}

/* Send from buffers of 1, 0 and 4 bytes, and receive into buffers of 2, 0 and 8 bytes. */
static void
buffers(int type)
{
	struct scm_message m;
	struct iovec in[3];
	struct iovec out[3];
	char first[2];
	char rest[8];
	char text[] = "hello";
	int file = raw_file();
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	out[0].iov_base = text;
	out[0].iov_len = 1;
	out[1].iov_base = NULL;
	out[1].iov_len = 0;
	out[2].iov_base = text + 1;
	out[2].iov_len = 4;
	memset(&m, 0, sizeof(m));
	m.iov = out;
	m.iovlen = 3;
	m.fds = &file;
	m.nfds = 1;
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), 5);
	in[0].iov_base = first;
	in[0].iov_len = sizeof(first);
	in[1].iov_base = NULL;
	in[1].iov_len = 0;
	in[2].iov_base = rest;
	in[2].iov_len = sizeof(rest);
	m.iov = in;
	m.fds = &fd;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 5);
	CHECK(memcmp(first, "he", 2) == 0 && memcmp(rest, "llo", 3) == 0);
	CHECK_EQ(m.nfds, 1);
	CHECK(raw_same(file, fd));
	raw_close(1, &fd);
	raw_close(1, &file);
	raw_close(2, sv);
}

/* Send and receive without a buffer, and with SCM_MAX_IOV buffers that are all filled. */
static void
most_buffers(int type)
{
	static char bytes[SCM_MAX_IOV];
	static struct iovec iov[SCM_MAX_IOV];
	struct scm_message m;
	int file = raw_file();
	int fd = -7;
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	memset(&m, 0, sizeof(m));
	m.fds = &file;
	m.nfds = 1;
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), 0); /* a stream sends nothing */
	for (i = 0; i < SCM_MAX_IOV; i++) {
		bytes[i] = (char)(i % 127);
		iov[i].iov_base = &bytes[i];
		iov[i].iov_len = 1;
	}
	m.iov = iov;
	m.iovlen = SCM_MAX_IOV;
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), SCM_MAX_IOV);
	m.fds = &fd;
	if (type != SOCK_STREAM) {
		m.iovlen = 0;
		CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 0);
		CHECK_EQ(m.nfds, 1);
		CHECK(raw_same(file, fd));
		raw_close(1, &fd);
		m.iovlen = SCM_MAX_IOV;
	}
	memset(bytes, 'x', sizeof(bytes));
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), SCM_MAX_IOV);
	CHECK_EQ(bytes[1], 1);
	CHECK_EQ(bytes[SCM_MAX_IOV - 1], (SCM_MAX_IOV - 1) % 127);
	CHECK_EQ(m.nfds, 1);
	CHECK(raw_same(file, fd));
	raw_close(1, &fd);
	raw_close(1, &file);
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "message/every-count", every_count);
	check_run_types("SDQ", "message/repeated", repeated);
	check_run_types("SDQ", "message/buffers", buffers);
	check_run_types("SDQ", "message/most-buffers", most_buffers);
	return check_status();
}
