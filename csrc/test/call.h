/* The library's functions as values, and checks that all of their calls have in common. */
#ifndef CALL_H
#define CALL_H

#include "scm_rights.h"

enum { SEND, RECV, WRITE_FD, READ_FD };

/*
 * Make a call with the message m and return the number of bytes, or -1. write_fd and read_fd use
 * its first buffer and descriptor.
 */
ssize_t call(int which, int sock, struct scm_message *m, int flags);

/*
 * Make a call and check its result, -errno for a failure. A call that succeeds does not change
 * errno, and a receive that fails clears all results.
 */
#define CALL(which, sock, m, flags, want) \
	call_checked(__FILE__, __LINE__, which, sock, m, flags, (long long)(want))
void call_checked(const char *file, int line, int which, int sock, struct scm_message *m, int flags,
    long long want);

/* Check that these are the credentials of this process or, if received is 0, unset ones. */
#define CHECK_CRED(cred, received) check_cred(__FILE__, __LINE__, cred, received)
void check_cred(const char *file, int line, const struct scm_cred *cred, int received);
struct scm_cred myself(void);

#endif
