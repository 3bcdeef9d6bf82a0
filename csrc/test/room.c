/* scm_rights_recv with a capacity below and above the number of descriptors sent. */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <string.h>
#include <unistd.h>

#define SENT 7

/* Send SENT descriptors, and receive with this capacity and this many free descriptors (-1:
 * enough). */
static void
receive(int type, size_t room, int numbers, size_t want, int want_flags)
{
	struct scm_message m;
	struct iovec iov;
	int came[SCM_MAX_FDS];
	int files[SENT];
	char byte;
	int before;
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	for (i = 0; i < SENT; i++)
		files[i] = raw_file();
	CHECK_EQ(raw_send(sv[0], 1, SENT, files), 1);
	prepare(&m, &iov, &byte, 1, room > 0 ? came : NULL, room);
	m.flags = -1;
	before = open_count();
	if (numbers >= 0)
		raw_limit(numbers);
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	if (numbers >= 0)
		raw_unlimit();
	CHECK_EQ(m.nfds, want);
	CHECK_EQ(m.flags, want_flags);
	CHECK_EQ(open_count(), before + (int)m.nfds);
	for (i = 0; i < want && i < m.nfds; i++)
		CHECK(raw_same(files[i], came[i]));
	raw_close((int)m.nfds, came);
	raw_close(SENT, files);
	raw_close(2, sv);
}

static void
every_size(int type)
{
	size_t room;

	for (room = 0; room < SENT; room++)
		receive(type, room, -1, room, MSG_CTRUNC);
}

static void
enough(int type)
{
	receive(type, SENT, -1, SENT, 0);
	receive(type, SENT + 1, -1, SENT, 0);
	receive(type, SCM_MAX_FDS, -1, SENT, 0);
}

/* A full descriptor table truncates like a small buffer. */
static void
descriptor_limit(int type)
{
	receive(type, SENT, 0, 0, MSG_CTRUNC);
	receive(type, SENT, 3, 3, MSG_CTRUNC);
	receive(type, 2, 3, 2, MSG_CTRUNC);
	receive(type, SENT, SENT, SENT, 0);
}

/* If no descriptor is received, nfds is 0. */
static void
none_received(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte;
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	CHECK_EQ(write(sv[0], "", 1), 1);
	prepare(&m, &iov, &byte, 1, &fd, 1);
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(m.nfds, 0);
	CHECK_EQ(m.flags, 0);
	CHECK_EQ(fd, -7);
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "capacity/every-size", every_size);
	check_run_types("SDQ", "capacity/enough", enough);
	check_run_types("SDQ", "capacity/descriptor-limit", descriptor_limit);
	check_run_types("SDQ", "capacity/none-received", none_received);
	return check_status();
}
