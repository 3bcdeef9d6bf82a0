/* Messages that scm_rights_send and scm_rights_recv reject before any system call. The socket is
 * -1, for which the kernel would return EBADF. */
#include "check.h"
#include "raw.h"

#include "scm_rights.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int fds[SCM_MAX_FDS + 1];
static struct iovec iov[SCM_MAX_IOV + 1];

static void
refused(size_t iovlen, size_t nfds, int want)
{
	struct scm_message m;

	memset(&m, 0, sizeof(m));
	m.iov = iov;
	m.iovlen = iovlen;
	m.fds = fds;
	m.nfds = nfds;
	errno = 0;
	CHECK_EQ(scm_rights_send(-1, &m, 0), -1);
	CHECK_EQ(errno, want);
	CHECK_EQ(m.nfds, nfds);
	m.flags = -1;
	errno = 0;
	CHECK_EQ(scm_rights_recv(-1, &m, 0), -1);
	CHECK_EQ(errno, want);
	CHECK_EQ(m.nfds, 0);
	CHECK_EQ(m.flags, 0);
}

static void
descriptors(void)
{
	refused(1, SCM_MAX_FDS, EBADF);
	refused(1, SCM_MAX_FDS + 1, EINVAL);
}

static void
buffers(void)
{
	refused(SCM_MAX_IOV, 1, EBADF);
	refused(SCM_MAX_IOV + 1, 1, EMSGSIZE);
}

/* A rejected receive leaves the whole message in the queue. */
static void
nothing_received(int type)
{
	struct scm_message m;
	char byte;
	int file = raw_file();
	int fd;
	int sv[2];

	raw_pair(type, sv);
	CHECK_EQ(write_fd(sv[0], "n", 1, file), 1);
	memset(&m, 0, sizeof(m));
	m.fds = fds;
	m.nfds = SCM_MAX_FDS + 1;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), -1);
	CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), 1);
	CHECK_EQ(byte, 'n');
	CHECK(raw_same(file, fd));
	raw_close(1, &fd);
	raw_close(1, &file);
	raw_close(2, sv);
}

/* The limits are those of the kernel, which reports the same error for one more. */
static void
same_as_kernel(int type)
{
	struct msghdr msg;
	int sv[2];

	raw_pair(type, sv);
	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = iov;
	msg.msg_iovlen = SCM_MAX_IOV + 1;
	errno = 0;
	CHECK_EQ(sendmsg(sv[0], &msg, MSG_NOSIGNAL), -1);
	CHECK_EQ(errno, EMSGSIZE);
	raw_close(2, sv);
}

int
main(void)
{
	check_run("limits/descriptors", descriptors);
	check_run("limits/buffers", buffers);
	check_run_types("SDQ", "limits/nothing-received", nothing_received);
	check_run_types("SDQ", "limits/same-as-kernel", same_as_kernel);
	return check_status();
}
