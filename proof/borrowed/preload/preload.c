/*
 * A library for LD_PRELOAD. Its sendmsg and recvmsg call scm_rights_send and scm_rights_recv, and
 * return the result in the caller's msghdr, as the kernel would. They pass on to the kernel what
 * those functions cannot express.
 *
 * The environment variable BORROWED_COUNTS names a file with a counter for each element of enum
 * counter. All processes of a test share it, also those that end without running destructors.
 */
#include "scm_rights.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

enum counter { SENT, RECEIVED, SEND_PASSED_ON, RECEIVE_PASSED_ON, COUNTERS };

static unsigned long private[COUNTERS];
static unsigned long *counters = private;

__attribute__((constructor)) static void
open_counters(void)
{
	const char *name = getenv("BORROWED_COUNTS");
	int fd = name != NULL ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *shared;

	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(private), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared != MAP_FAILED)
		counters = shared;
	close(fd);
}

static void
count(enum counter c)
{
	(void)__atomic_add_fetch(&counters[c], 1, __ATOMIC_RELAXED);
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

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct scm_cred cred;
	struct scm_message m = {0};

	if (!parse(&m, &cred, message)) {
		count(SEND_PASSED_ON);
		return syscall(SYS_sendmsg, fd, message, flags);
	}
	count(SENT);
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

/* Make space in m for what the control buffer of msg can hold. Return whether m can express it. */
static int
make_space(struct scm_message *m, struct scm_cred *cred, int sock, const struct msghdr *msg)
{
	size_t room = msg->msg_control != NULL ? msg->msg_controllen : 0;

	if (room == 0)
		return 1;
	/* The socket may receive other control messages. */
	if (option(sock, SO_DOMAIN) != AF_UNIX || option(sock, SO_TIMESTAMP) ||
	    option(sock, SO_TIMESTAMPNS) || option(sock, SO_PASSSEC) || option(sock, SO_PASSPIDFD))
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
	return 1;
}

/* Append a control message to msg, whose buffer has room bytes. */
static void
put(struct msghdr *msg, size_t room, int type, const void *data, size_t len)
{
	struct cmsghdr *cmsg = (void *)((unsigned char *)msg->msg_control + msg->msg_controllen);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), data, len);
	msg->msg_controllen += CMSG_SPACE(len);
	if (msg->msg_controllen > room)
		msg->msg_controllen = room;
}

/* Store the control data of m, which was received, in msg. */
static void
put_all(struct msghdr *msg, const struct scm_message *m)
{
	size_t room = msg->msg_controllen;

	msg->msg_controllen = 0;
	if (msg->msg_control == NULL)
		return;
	if (m->cred != NULL && m->cred->uid != (uid_t)-1)
		put(msg, room, SCM_CREDENTIALS, m->cred, sizeof(*m->cred));
	if (m->nfds > 0)
		put(msg, room, SCM_RIGHTS, m->fds, m->nfds * sizeof(int));
}

ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
	int fds[SCM_MAX_FDS];
	struct scm_cred cred;
	struct scm_message m = {0};
	ssize_t n;

	if (!make_space(&m, &cred, fd, message)) {
		count(RECEIVE_PASSED_ON);
		return syscall(SYS_recvmsg, fd, message, flags);
	}
	count(RECEIVED);
	m.iov = message->msg_iov;
	m.iovlen = message->msg_iovlen;
	m.name = message->msg_name;
	m.namelen = message->msg_namelen;
	m.fds = fds;
	n = scm_rights_recv(fd, &m, flags);
	if (n < 0)
		return n;
	for (size_t i = 0; i < m.nfds && (flags & MSG_CMSG_CLOEXEC) == 0; i++)
		(void)fcntl(fds[i], F_SETFD, 0);
	if (m.name != NULL)
		message->msg_namelen = m.namelen;
	message->msg_flags = m.flags | (flags & MSG_CMSG_CLOEXEC);
	put_all(message, &m);
	return n;
}
