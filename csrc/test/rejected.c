/*
 * With SO_RIGHTS_NOTRUNC, the kernel stores a negative value instead of each descriptor that a
 * security module rejected. Such a module is rare, so this test writes the control data itself.
 */
#include "private.h"

#include "check.h"
#include "raw.h"

#define SENT 5

/* If bit i of rejected is set, descriptor i was rejected. */
static void
take(unsigned int rejected, size_t room)
{
	union scm_control control;
	struct scm_message m;
	struct msghdr msg;
	struct ucred others = {1, 1, 1};
	int fds[SENT], came[SENT];
	int before = open_count();
	scm_len length;
	size_t kept = 0;
	size_t i;

	memset(&control, 0, sizeof(control));
	memset(&m, 0, sizeof(m));
	memset(&msg, 0, sizeof(msg));
	for (i = 0; i < SENT; i++)
		fds[i] = (rejected >> i & 1) != 0 ? -EPERM : raw_file();
	while (kept < SENT && kept < room && fds[kept] >= 0)
		kept++;
	msg.msg_control = control.bytes;
	scm_put(&msg, SCM_CREDENTIALS, &others, sizeof(others));
	scm_put(&msg, SCM_RIGHTS, fds, sizeof(fds));
	length = (scm_len)msg.msg_controllen;
	scm_put(&msg, SCM_RIGHTS, fds, sizeof(fds)); /* of an earlier receive, behind the end */
	msg.msg_controllen = length;
	m.fds = came;
	scm_take(&m, room, &msg);
	CHECK_EQ(m.nfds, kept);
	CHECK_EQ(m.flags, kept < SENT ? MSG_CTRUNC : 0);
	CHECK_EQ(open_count(), before + (int)kept);
	for (i = 0; i < m.nfds && i < kept; i++)
		CHECK_EQ(came[i], fds[i]);
	raw_close((int)m.nfds, came);
}

static void
every_choice(void)
{
	unsigned int rejected;
	size_t room;

	for (rejected = 0; rejected < 1U << SENT; rejected++)
		for (room = 0; room <= SENT; room++)
			take(rejected, room);
}

int
main(void)
{
	check_run("those before the first rejected one are returned", every_choice);
	return check_status();
}
