#include "private.h"

/*
 * Close the descriptors that a receive installed before it failed. Linux can write control
 * messages and then fail to write the sender's address, or add a pidfd to a payload that it
 * could not write (EFAULT). The control buffer was zeroed before the call, so scm_take stops
 * where the kernel stopped writing.
 */
void
scm_close_installed(struct msghdr *msg)
{
	struct scm_message none;

	memset(&none, 0, sizeof(none));
	scm_take(&none, 0, msg);
}
