/* scm_rights_recv with other control messages in addition to the descriptors. */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <string.h>
#include <unistd.h>

/* Send two descriptors to a socket with this option, and receive them with this capacity. */
static void
receive(int type, int option, size_t room, size_t want, int want_flags)
{
	struct scm_message m;
	struct iovec iov;
	int came[SCM_MAX_FDS];
	int files[2];
	char byte;
	int before;
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	NEED(raw_option(sv[1], option) == 0);
	files[0] = raw_file();
	files[1] = raw_file();
	CHECK_EQ(raw_send(sv[0], 1, 2, files), 1);
	before = open_count();
	prepare(&m, &iov, &byte, 1, came, room);
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(m.nfds, want);
	CHECK_EQ(m.flags, want_flags);
	CHECK_EQ(open_count(), before + (int)m.nfds);
	for (i = 0; i < want && i < m.nfds; i++)
		CHECK(raw_same(files[i], came[i]));
	raw_close((int)m.nfds, came);
	raw_close(2, files);
	raw_close(2, sv);
}

/* Credentials precede the descriptors. They are ignored, and may leave no space for descriptors. */
static void
credentials(int type)
{
	receive(type, SO_PASSCRED, SCM_MAX_FDS, 2, 0);
	receive(type, SO_PASSCRED, 2, 0, MSG_CTRUNC);
}

static void
timestamp(int type)
{
	receive(type, SO_TIMESTAMP, SCM_MAX_FDS, 2, 0);
	receive(type, SO_TIMESTAMP, 2, 0, MSG_CTRUNC);
}

/* The call closes a pidfd that was not requested, and sets MSG_CTRUNC. */
static void
pidfd(int type)
{
	if (!raw_passes_pidfd()) {
		check_skip("this kernel sends no pidfd");
		return;
	}
	receive(type, SO_PASSPIDFD, SCM_MAX_FDS, 2, MSG_CTRUNC);
	receive(type, SO_PASSPIDFD, 2, 2, MSG_CTRUNC);
	receive(type, SO_PASSPIDFD, 1, 1, MSG_CTRUNC);
}

/* The same for a byte without descriptors. */
static void
pidfd_alone(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte;
	int before;
	int fd = -7;
	int sv[2];

	if (!raw_passes_pidfd()) {
		check_skip("this kernel sends no pidfd");
		return;
	}
	raw_pair(type, sv);
	NEED(raw_option(sv[1], SO_PASSPIDFD) == 0);
	CHECK_EQ(write(sv[0], "", 1), 1);
	before = open_count();
	prepare(&m, &iov, &byte, 1, &fd, 1);
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(m.nfds, 0);
	CHECK_EQ(m.flags, MSG_CTRUNC);
	CHECK_EQ(open_count(), before);
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "other-control/credentials", credentials);
	check_run_types("D", "other-control/timestamp", timestamp);
	check_run_types("SDQ", "other-control/pidfd", pidfd);
	check_run_types("SDQ", "other-control/pidfd-alone", pidfd_alone);
	return check_status();
}
