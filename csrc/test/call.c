#include "call.h"

#include "check.h"

#include <errno.h>
#include <unistd.h>

ssize_t
call(int which, int sock, struct scm_message *m, int flags)
{
	switch (which) {
	case SEND:
		return scm_rights_send(sock, m, flags);
	case RECV:
		return scm_rights_recv(sock, m, flags);
	case WRITE_FD:
		return write_fd(sock, m->iov->iov_base, m->iov->iov_len, *m->fds);
	default:
		return read_fd(sock, m->iov->iov_base, m->iov->iov_len, m->fds);
	}
}

void
call_checked(const char *file, int line, int which, int sock, struct scm_message *m, int flags,
    long long want)
{
	static const char *const names[] = {
	    "scm_rights_send", "scm_rights_recv", "write_fd", "read_fd"};
	const int mark = 4711;

	errno = mark;
	check_eq(file, line, names[which], call(which, sock, m, flags), want < 0 ? -1 : want);
	check_eq(file, line, "errno", errno, want < 0 ? -want : mark);
	if (want >= 0 || which != RECV)
		return;
	check_eq(file, line, "m.nfds", (long long)m->nfds, 0);
	check_eq(file, line, "m.flags", m->flags, 0);
	check_eq(file, line, "m.namelen", m->namelen, 0);
	if (m->cred != NULL)
		check_cred(file, line, m->cred, 0);
	if (m->pidfd != NULL)
		check_eq(file, line, "*m.pidfd", *m->pidfd, -1);
}

void
check_cred(const char *file, int line, const struct scm_cred *cred, int received)
{
	check_eq(file, line, "pid", cred->pid, received ? getpid() : 0);
	check_eq(file, line, "uid", cred->uid, received ? getuid() : (uid_t)-1);
	check_eq(file, line, "gid", cred->gid, received ? getgid() : (gid_t)-1);
}

struct scm_cred
myself(void)
{
	struct scm_cred cred;

	cred.pid = getpid();
	cred.uid = getuid();
	cred.gid = getgid();
	return cred;
}
