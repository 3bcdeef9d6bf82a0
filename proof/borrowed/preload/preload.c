/*
 * A library for LD_PRELOAD. Its sendmsg and recvmsg call scm_rights_send and scm_rights_recv, and
 * return the result in the caller's msghdr, as the kernel would. They pass on to the kernel what
 * those functions cannot express. If a receive does not either return or close each descriptor,
 * once, or closes another, the process aborts.
 *
 * For each call it appends a letter to the file that is open as CALLS, which all processes of a
 * test share: S for a send and R for a receive by csrc, s and r for those passed on.
 */
#include "scm_rights.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CALLS = 200 };

static void
count(char letter)
{
	if (write(CALLS, &letter, 1) != 1)
		abort();
}

/*
 * Store the control data of msg in m, whose credentials go to cred. Return whether m then expresses
 * it: at most one array of descriptors, which is not empty, and one structure of credentials. The
 * kernel ignores bytes after the last whole descriptor, which m leaves out. On Linux, scm_cred has
 * the fields of ucred in the same order.
 */
static int
parse(struct scm_message *m, struct scm_cred *cred, const struct msghdr *msg)
{
	unsigned char *at = msg->msg_control;
	size_t left = at != NULL ? msg->msg_controllen : 0;

	while (left >= sizeof(struct cmsghdr)) {
		struct cmsghdr *cmsg = (void *)at;
		size_t len = cmsg->cmsg_len;
		size_t step;

		if (len < CMSG_LEN(0) || len > left || cmsg->cmsg_level != SOL_SOCKET)
			return 0;
		len -= CMSG_LEN(0);
		step = CMSG_SPACE(len);
		if (cmsg->cmsg_type == SCM_RIGHTS && m->nfds == 0 && len >= sizeof(int)) {
			m->fds = (void *)CMSG_DATA(cmsg);
			m->nfds = len / sizeof(int);
		} else if (cmsg->cmsg_type == SCM_CREDENTIALS && m->cred == NULL &&
		    len == sizeof(*cred)) {
			m->cred = memcpy(cred, CMSG_DATA(cmsg), len);
		} else {
			return 0;
		}
		if (step > left)
			m->options |= SCM_UNPADDED;
		if (step >= left)
			break;
		at += step;
		left -= step;
	}
	return 1;
}

/*
 * The descriptors that the kernel installed during a receive by csrc, except those that csrc has
 * returned or closed.
 */
static __thread int owed[SCM_MAX_FDS];
static __thread size_t nowed;

/* Remove a descriptor that csrc has returned or closed. */
static void
settle(int fd)
{
	size_t i = 0;

	while (i < nowed && owed[i] != fd)
		i++;
	if (i == nowed) {
		dprintf(STDERR_FILENO, "descriptor %d: not received, or returned or closed twice\n",
		    fd);
		abort();
	}
	owed[i] = owed[--nowed];
}

static long
kernel_SYS_recvmsg(int sock, struct msghdr *msg, int flags)
{
	long n = syscall(SYS_recvmsg, sock, msg, flags);
	struct scm_message m = {0};
	struct scm_cred cred;

	(void)parse(&m, &cred, msg);
	for (nowed = 0; nowed < m.nfds; nowed++)
		owed[nowed] = m.fds[nowed];
	return n;
}

static long
kernel_SYS_close(int fd)
{
	settle(fd);
	return syscall(SYS_close, fd);
}

/* syscall(SYS_close, fd) becomes kernel_SYS_close(fd), as in proof/cbmc/model.cbmc. */
#define syscall(number, ...) kernel_##number(__VA_ARGS__)
#define kernel_SYS_sendmsg(...) syscall(SYS_sendmsg, __VA_ARGS__)
#include "scm_rights.c" /* NOLINT(bugprone-suspicious-include) */
#undef syscall

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct scm_cred cred;
	struct scm_message m = {0};

	if (!parse(&m, &cred, message)) {
		count('s');
		return syscall(SYS_sendmsg, fd, message, flags);
	}
	count('S');
	m.iov = message->msg_iov;
	m.iovlen = message->msg_iovlen;
	m.name = message->msg_name;
	m.namelen = message->msg_namelen;
	return scm_rights_send(fd, &m, flags);
}

/* Return the value of an option of the socket, or 0 if it has none. */
static int
option(int sock, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(sock, SOL_SOCKET, name, &value, &len) == 0 ? value : 0;
}

/*
 * Make space in m for what the control buffer of msg can hold. Return whether m can express it. The
 * space for a pidfd lets the kernel install more descriptors than the caller has space for.
 */
static int
make_space(
    struct scm_message *m, struct scm_cred *cred, int *pidfd, int sock, const struct msghdr *msg)
{
	size_t room = msg->msg_control != NULL ? msg->msg_controllen : 0;

	if (room == 0)
		return 1;
	/* Other sockets receive other control messages. The tests do not use SO_PASSPIDFD and the
	 * like. */
	if (option(sock, SO_DOMAIN) != AF_UNIX)
		return 0;
	if (option(sock, SO_PASSCRED)) {
		if (room < CMSG_LEN(sizeof(*cred)))
			return 0;
		m->cred = cred;
		room = room > CMSG_SPACE(sizeof(*cred)) ? room - CMSG_SPACE(sizeof(*cred)) : 0;
	}
	if (room > CMSG_LEN(0))
		m->nfds = (room - CMSG_LEN(0)) / sizeof(int);
	if (m->nfds > SCM_MAX_FDS)
		m->nfds = SCM_MAX_FDS;
	m->pidfd = pidfd;
	return 1;
}

ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
	int fds[SCM_MAX_FDS];
	struct scm_cred cred;
	struct scm_message m = {0};
	int pidfd;
	size_t room;
	ssize_t n;

	if (!make_space(&m, &cred, &pidfd, fd, message)) {
		count('r');
		return syscall(SYS_recvmsg, fd, message, flags);
	}
	count('R');
	m.iov = message->msg_iov;
	m.iovlen = message->msg_iovlen;
	m.name = message->msg_name;
	m.namelen = message->msg_namelen;
	m.fds = fds;
	n = scm_rights_recv(fd, &m, flags);
	for (size_t i = 0; i < m.nfds; i++)
		settle(fds[i]);
	if (nowed > 0) {
		dprintf(STDERR_FILENO, "descriptor %d: neither returned nor closed\n", owed[0]);
		abort();
	}
	if (n < 0)
		return n;
	for (size_t i = 0; i < m.nfds && (flags & MSG_CMSG_CLOEXEC) == 0; i++)
		(void)fcntl(fds[i], F_SETFD, 0);
	if (m.name != NULL)
		message->msg_namelen = m.namelen;
	message->msg_flags = m.flags | (flags & MSG_CMSG_CLOEXEC);
	room = message->msg_controllen;
	message->msg_controllen = 0;
	if (m.cred != NULL && m.cred->uid != (uid_t)-1)
		scm_put(message, SCM_CREDENTIALS, m.cred, sizeof(*m.cred));
	if (m.nfds > 0)
		scm_put(message, SCM_RIGHTS, m.fds, m.nfds * sizeof(int));
	if (message->msg_controllen > room)
		message->msg_controllen = room;
	return n;
}
