/* scm_rights_recv with less room than what comes, and with more. */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <string.h>
#include <unistd.h>

#define SENT 7

/* Send SENT, receive with this room and so many free numbers (-1: enough). */
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
every_room(int type)
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

/* A full table of descriptors cuts like a small buffer. */
static void
few_numbers(int type)
{
	receive(type, SENT, 0, 0, MSG_CTRUNC);
	receive(type, SENT, 3, 3, MSG_CTRUNC);
	receive(type, 2, 3, 2, MSG_CTRUNC);
	receive(type, SENT, SENT, SENT, 0);
}

/* Room and no descriptors: nfds says so. */
static void
none_came(int type)
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
	check_run_types("SDQ", "room/every-room", every_room);
	check_run_types("SDQ", "room/enough", enough);
	check_run_types("SDQ", "room/few-numbers", few_numbers);
	check_run_types("SDQ", "room/none-came", none_came);
	return check_status();
}
