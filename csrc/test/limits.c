/*
 * Messages that the library rejects before any system call. The socket is -1, for which the kernel
 * would return EBADF.
 */
#include "call.h"
#include "check.h"
#include "raw.h"

#include <errno.h>
#include <string.h>

static int fds[SCM_MAX_FDS + 1];
static struct iovec iov[SCM_MAX_IOV + 1];

static void
rejected(void)
{
	static const struct {
		size_t iovlen, nfds;
		int want;
	} rows[] = {
	    {1, SCM_MAX_FDS, EBADF},
	    {1, SCM_MAX_FDS + 1, EINVAL},
	    {SCM_MAX_IOV, 1, EBADF},
	    {SCM_MAX_IOV + 1, 1, EMSGSIZE},
	};
	struct scm_message m;
	size_t i;
	int which;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (which = SEND; which <= RECV; which++) {
			memset(&m, 0, sizeof(m));
			m.iov = iov;
			m.iovlen = rows[i].iovlen;
			m.fds = fds;
			m.nfds = rows[i].nfds;
			m.flags = -1;
			CALL(which, -1, &m, 0, -rows[i].want);
			if (which == SEND)
				CHECK_EQ(m.nfds, rows[i].nfds);
		}
	}
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
	check_run("limits/rejected", rejected);
	check_run_types("SDQ", "limits/same-as-kernel", same_as_kernel);
	return check_status();
}
