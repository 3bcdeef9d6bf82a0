#include "private.h"

ssize_t
scm_rights_send(int sock, const struct scm_message *m, int flags)
{
	union scm_control control;
	struct msghdr msg;

	if (scm_check(m) < 0)
		return -1;
	scm_prepare_send(&msg, &control, m);
	return scm_sendmsg(sock, &msg, flags);
}
