/*
 * Compare the calls of csrc with what the CMSG macros make of the same arguments: 0 to 254
 * descriptors, with and without credentials, padded and not, and every flag and size of a batch.
 * csrc is compiled with -Dsyscall=kernel_call and -Dclose=kernel_close, so its system calls call
 * functions of this file. They compare each byte that the kernel would read, and supply the results
 * of receives. No kernel is involved, so bugs in an emulator's cannot affect the result.
 *
 * Print the number of calls compared. At the first difference, print it and exit with status 1.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "macros.h"
#include "scm_rights.h"

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

#define SOCK 7
#define PIDFD 77
#define FIRST_FD 1000 /* the first received descriptor */

/* The arguments that the kernel must get for one message. */
struct expected {
	struct msghdr msg;
	union macros_control control;
};

/*
 * The control data of a received message: descriptors, and credentials and a pidfd if set. If bit i
 * of rejected is set, a security module rejected descriptor i.
 */
struct brought {
	size_t nfds;
	int cred, pidfd;
	unsigned int rejected;
};

static struct expected want[SCM_MAX_BATCH];
static struct brought brings[SCM_MAX_BATCH];
static long want_call; /* 0 if none may be made */
static size_t want_messages;
static int want_flags;

/* The current call. */
static const char *function = "";
static char what[200];
static size_t message; /* of a batch */
static int made;       /* number of its system calls */
static int closed;     /* number of descriptors that it closed */

static unsigned long compared;

static void
fail(const char *field, long got, long wanted)
{
	(void)printf("csrc: %s, %s", function, what);
	if (want_messages > 1)
		(void)printf(", message %zu", message);
	(void)printf(": %s: %ld, not %ld\n", field, got, wanted);
	exit(1);
}

static void
same(const char *field, long got, long wanted)
{
	if (got != wanted)
		fail(field, got, wanted);
}

static void
same_bytes(const char *field, const void *got, const void *wanted, size_t len)
{
	const unsigned char *a = got, *b = wanted;
	size_t i;

	for (i = 0; i < len; i++) {
		if (a[i] != b[i]) {
			char name[100];

			(void)snprintf(name, sizeof(name), "byte %zu of %s", i, field);
			fail(name, a[i], b[i]);
		}
	}
}

/* Compare a header and the data that it points to. The control buffer may be at any address. */
static void
compare(const struct msghdr *msg, const struct expected *e)
{
	struct msghdr got, wanted;

	memcpy(&got, msg, sizeof(got));
	memcpy(&wanted, &e->msg, sizeof(wanted));
	same("msg_controllen", (long)got.msg_controllen, (long)wanted.msg_controllen);
	same("msg_iovlen", (long)got.msg_iovlen, (long)wanted.msg_iovlen);
	same("msg_control is there", got.msg_control != NULL, wanted.msg_controllen > 0);
	same_bytes("control", got.msg_control, e->control.bytes, wanted.msg_controllen);
	wanted.msg_control = got.msg_control;
	if (want_call == SYS_sendmsg || want_call == SYS_recvmsg) {
		/* The pair has an iovec of its own. */
		same_bytes(
		    "iovec", got.msg_iov, wanted.msg_iov, wanted.msg_iovlen * sizeof(struct iovec));
		if (strcmp(function, "write_fd") == 0 || strcmp(function, "read_fd") == 0)
			wanted.msg_iov = got.msg_iov;
	}
	same_bytes("msghdr", &got, &wanted, sizeof(got));
}

/* Append a control message like Linux: there may be no space for the padding of the last one. */
static void
append(unsigned char *control, size_t room, size_t *used, int type, const void *data, size_t len)
{
	struct cmsghdr cmsg;
	size_t space = CMSG_SPACE(len);

	if (len == 0)
		return;
	memset(&cmsg, 0, sizeof(cmsg));
	cmsg.cmsg_level = SOL_SOCKET;
	cmsg.cmsg_type = type;
	cmsg.cmsg_len = CMSG_LEN(len);
	if (room - *used < cmsg.cmsg_len) {
		fail("the room for what is to come", (long)(room - *used), (long)CMSG_LEN(len));
	}
	memcpy(control + *used, &cmsg, sizeof(cmsg));
	memcpy(control + *used + CMSG_LEN(0), data, len);
	*used += space < room - *used ? space : room - *used;
}

static int
is_rejected(const struct brought *b, size_t i)
{
	return i < 32 && (b->rejected >> i & 1) != 0;
}

static void
bring(struct msghdr *msg, const struct brought *b)
{
	static int fds[MAX_FDS + 1];
	struct ucred cred = macros_cred();
	int pidfd = PIDFD;
	size_t used = 0;
	size_t i;

	for (i = 0; i < b->nfds; i++)
		fds[i] = is_rejected(b, i) ? -EPERM : FIRST_FD + (int)i;
	if (b->cred)
		append(msg->msg_control, msg->msg_controllen, &used, SCM_CREDENTIALS, &cred,
		    sizeof(cred));
	append(
	    msg->msg_control, msg->msg_controllen, &used, SCM_RIGHTS, fds, sizeof(int) * b->nfds);
	if (b->pidfd)
		append(
		    msg->msg_control, msg->msg_controllen, &used, SCM_PIDFD, &pidfd, sizeof(pidfd));
	msg->msg_controllen = 0;
	msg->msg_controllen += used;
	msg->msg_namelen = msg->msg_namelen > 0 ? 5 : 0;
	msg->msg_flags = MSG_CMSG_CLOEXEC | MSG_EOR;
}

static void
compare_many(struct mmsghdr *ms, size_t n, int receive)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct mmsghdr got, wanted;

		message = i;
		compare(&ms[i].msg_hdr, &want[i]);
		memcpy(&got, &ms[i], sizeof(got));
		memset(&wanted, 0, sizeof(wanted));
		memcpy(&wanted.msg_hdr, &ms[i].msg_hdr, sizeof(wanted.msg_hdr));
		same_bytes("mmsghdr", &got, &wanted, sizeof(got));
		if (receive)
			bring(&ms[i].msg_hdr, &brings[i]);
		ms[i].msg_len = (unsigned int)i + 1;
	}
}

long kernel_call(long nr, ...);
int kernel_close(int fd);

long
kernel_call(long nr, ...)
{
	struct msghdr *msg;
	va_list args;
	size_t n = 1;
	int sock, flags;

	va_start(args, nr);
	sock = va_arg(args, int);
	if (nr == SYS_close) {
		va_end(args);
		return kernel_close(sock);
	}
	made++;
	compared++;
	msg = va_arg(args, struct msghdr *);
	if (nr == SYS_sendmmsg || nr == SYS_recvmmsg)
		n = va_arg(args, size_t);
	flags = va_arg(args, int);
	if (nr == SYS_recvmmsg && va_arg(args, void *) != NULL)
		fail("the timeout", 1, 0);
	va_end(args);
	same("the system call", nr, want_call);
	same("socket", sock, SOCK);
	same("flags", flags, want_flags);
	same("messages", (long)n, (long)want_messages);
	switch (nr) {
	case SYS_sendmmsg:
	case SYS_recvmmsg:
		compare_many((struct mmsghdr *)(void *)msg, n, nr == SYS_recvmmsg);
		return (long)n;
	case SYS_recvmsg:
		compare(msg, &want[0]);
		bring(msg, &brings[0]);
		return 3;
	default:
		compare(msg, &want[0]);
		return 3;
	}
}

int
kernel_close(int fd)
{
	same("a descriptor is closed", fd >= FIRST_FD || fd == PIDFD, 1);
	closed++;
	return 0;
}

/* Expect m as the i-th message to be sent. */
static void
expect_sent(size_t i, const struct scm_message *m)
{
	struct msghdr *msg = &want[i].msg;

	memset(&want[i], 0, sizeof(want[i]));
	msg->msg_name = m->name;
	msg->msg_namelen = m->namelen;
	msg->msg_iov = (struct iovec *)(size_t)m->iov;
	msg->msg_iovlen += (unsigned int)m->iovlen;
	msg->msg_controllen += (unsigned int)macros_build(
	    &want[i].control, m->nfds, m->cred != NULL, (m->options & SCM_UNPADDED) == 0);
}

/* Expect m as the i-th message to be received. */
static void
expect_received(size_t i, const struct scm_message *m)
{
	struct msghdr *msg = &want[i].msg;
	size_t room = 0;

	memset(&want[i], 0, sizeof(want[i]));
	msg->msg_name = m->name;
	msg->msg_namelen = m->namelen;
	msg->msg_iov = (struct iovec *)(size_t)m->iov;
	msg->msg_iovlen += (unsigned int)m->iovlen;
	if (m->nfds > 0)
		room = m->pidfd == NULL ? CMSG_LEN(sizeof(int) * m->nfds)
					: CMSG_SPACE(sizeof(int) * m->nfds);
	if (m->cred != NULL)
		room += CMSG_SPACE(sizeof(struct ucred));
	if (m->pidfd != NULL)
		room += CMSG_SPACE(sizeof(int));
	msg->msg_controllen += (unsigned int)room;
}

static void
begin(const char *name, long call, size_t messages, int flags)
{
	function = name;
	want_call = call;
	want_messages = messages;
	want_flags = flags;
	made = closed = 0;
}

/* The buffers, descriptors and other parts of all messages. */
static char byte;
static struct iovec iov[SCM_MAX_IOV];
static int fds[SCM_MAX_BATCH + 1][SCM_MAX_FDS + 1];
static struct scm_cred creds[SCM_MAX_BATCH + 1];
static int pidfds[SCM_MAX_BATCH + 1];
static char name[200];

/* A message to send. The bits of kind say whether it is unpadded and has credentials. */
static struct scm_message
outgoing(size_t i, size_t nfds, size_t kind)
{
	struct ucred cred = macros_cred();
	struct scm_message m;
	size_t j;

	memset(&m, 0, sizeof(m));
	m.iov = iov;
	m.iovlen = 1;
	for (j = 0; j < nfds; j++)
		fds[i][j] = macros_fd(j);
	m.fds = fds[i];
	m.nfds = nfds;
	if ((kind & 1) != 0)
		m.options = SCM_UNPADDED;
	if ((kind & 2) != 0) {
		creds[i].pid = cred.pid;
		creds[i].uid = cred.uid;
		creds[i].gid = cred.gid;
		m.cred = &creds[i];
	}
	(void)snprintf(what, sizeof(what), "%zu descriptors, %s credentials, %s", nfds,
	    m.cred != NULL ? "with" : "without", m.options != 0 ? "unpadded" : "padded");
	return m;
}

/* A message to receive. The bits of kind say whether it has space for a pidfd and credentials. */
static struct scm_message
incoming(size_t i, size_t nfds, size_t kind)
{
	struct scm_message m;

	memset(&m, 0, sizeof(m));
	memset(fds[i], 0xff, sizeof(fds[i]));
	m.iov = iov;
	m.iovlen = 1;
	m.fds = fds[i];
	m.nfds = nfds;
	if ((kind & 1) != 0)
		m.pidfd = &pidfds[i];
	if ((kind & 2) != 0)
		m.cred = &creds[i];
	(void)snprintf(what, sizeof(what), "room for %zu descriptors, %s credentials, %s pidfd",
	    nfds, m.cred != NULL ? "with" : "without", m.pidfd != NULL ? "with" : "without");
	return m;
}

static void
sends(const struct scm_message *m, int flags)
{
	begin("scm_rights_send", SYS_sendmsg, 1, flags);
	expect_sent(0, m);
	same("the result", scm_rights_send(SOCK, m, flags), 3);
	same("system calls", made, 1);
}

static void
refused(const char *call, ssize_t result)
{
	function = call;
	same("the result", result, -1);
	same("errno", errno, EINVAL);
	same("system calls", made, 0);
}

/* The number of descriptors that precede the first one that does not fit or was rejected. */
static size_t
kept(const struct brought *b, size_t room)
{
	size_t i;

	for (i = 0; i < b->nfds && i < room; i++) {
		if (is_rejected(b, i))
			break;
	}
	return i;
}

/* The number of received descriptors that are closed because they are not among the first n. */
static long
closed_after(const struct brought *b, size_t n)
{
	long count = 0;

	for (; n < b->nfds; n++)
		count += !is_rejected(b, n);
	return count;
}

/* Compare the results of a receive in m with the control data that it received. */
static void
received(const struct scm_message *m, const struct brought *b, size_t room)
{
	struct ucred cred = macros_cred();
	size_t want_fds = kept(b, room);
	size_t i;

	same("nfds", (long)m->nfds, (long)want_fds);
	for (i = 0; i < m->nfds; i++)
		same("a descriptor", m->fds[i], FIRST_FD + (long)i);
	same("MSG_CTRUNC", (m->flags & MSG_CTRUNC) != 0, b->nfds > want_fds);
	same("flags", m->flags & ~MSG_CTRUNC, MSG_EOR);
	if (m->pidfd != NULL)
		same("pidfd", *m->pidfd, b->pidfd ? PIDFD : -1);
	if (m->cred != NULL && b->cred) {
		same("pid", (long)m->cred->pid, (long)cred.pid);
		same("uid", (long)m->cred->uid, (long)cred.uid);
		same("gid", (long)m->cred->gid, (long)cred.gid);
	}
	same("namelen", (long)m->namelen, m->name != NULL ? 5 : 0);
}

static void
receives(struct scm_message m, struct brought b, int flags)
{
	size_t room = m.nfds;

	begin("scm_rights_recv", SYS_recvmsg, 1, flags | MSG_CMSG_CLOEXEC);
	expect_received(0, &m);
	brings[0] = b;
	same("the result", scm_rights_recv(SOCK, &m, flags), 3);
	same("system calls", made, 1);
	received(&m, &b, room);
	same("descriptors closed", closed, closed_after(&b, kept(&b, room)));
}

/* A batch in which message i has (from + i) descriptors and kind (kind + i). */
static void
batch(size_t n, size_t from, size_t kind)
{
	static struct {
		struct scm_message ms[SCM_MAX_BATCH + 1];
		size_t rooms[SCM_MAX_BATCH + 1];
	} all;
	struct scm_message *ms = all.ms;
	size_t taken = n < SCM_MAX_BATCH ? n : SCM_MAX_BATCH;
	size_t i;

	for (i = 0; i < n; i++)
		ms[i] = outgoing(i, (from + i) % (MAX_FDS + 1), kind + i);
	for (i = 0; i < taken; i++)
		expect_sent(i, &ms[i]);
	(void)snprintf(what, sizeof(what), "%zu messages, of %zu descriptors and so on", n, from);
	begin("scm_rights_send_batch", SYS_sendmmsg, taken, 0);
	same("the result", scm_rights_send_batch(SOCK, ms, n, 0), (long)taken);
	same("system calls", made, taken > 0);
	for (i = 0; i < taken; i++)
		same("len", (long)ms[i].len, (long)i + 1);

	for (i = 0; i < n; i++) {
		ms[i] = incoming(i, (from + i) % (MAX_FDS + 1), kind + i);
		all.rooms[i] = ms[i].nfds;
		if (i < taken) {
			brings[i].nfds = ms[i].nfds;
			brings[i].cred = ms[i].cred != NULL;
			brings[i].pidfd = ms[i].pidfd != NULL;
			brings[i].rejected = 0;
			expect_received(i, &ms[i]);
		}
	}
	(void)snprintf(
	    what, sizeof(what), "%zu messages, room for %zu descriptors and so on", n, from);
	begin("scm_rights_recv_batch", SYS_recvmmsg, taken, MSG_CMSG_CLOEXEC);
	same("the result", scm_rights_recv_batch(SOCK, ms, n, 0), (long)taken);
	same("system calls", made, taken > 0);
	for (i = 0; i < taken; i++) {
		received(&ms[i], &brings[i], all.rooms[i]);
		same("len", (long)ms[i].len, (long)i + 1);
	}
	same("descriptors closed", closed, 0);
}

static void
every_count(void)
{
	struct scm_message m;
	size_t n, kind;

	for (n = 0; n <= MAX_FDS; n++) {
		for (kind = 0; kind < 4; kind++) {
			struct brought b = {n, 0, 0, 0};

			m = outgoing(0, n, kind);
			sends(&m, 0);
			m = incoming(0, n, kind);
			receives(m, b, 0);
			b.cred = m.cred != NULL;
			receives(m, b, 0);
			b.nfds = n / 2;
			b.pidfd = m.pidfd != NULL;
			receives(m, b, 0);
			b.nfds = n;
			receives(m, b, 0);
			if (m.pidfd != NULL &&
			    n > 0) { /* the descriptors use the space for the pidfd */
				b.pidfd = 0;
				b.nfds = n + 1;
				receives(m, b, 0);
			}
		}
	}
	for (n = 0; n <= MAX_FDS; n++) {
		for (kind = 0; kind < 4; kind++) {
			batch(1, n, kind);
			batch(SCM_MAX_BATCH, n, kind);
		}
	}
	begin("", 0, 0, 0);
	m = outgoing(0, SCM_MAX_FDS + 1, 0);
	refused("scm_rights_send", scm_rights_send(SOCK, &m, 0));
	refused("scm_rights_send_batch", scm_rights_send_batch(SOCK, &m, 1, 0));
	refused("scm_rights_recv", scm_rights_recv(SOCK, &m, 0));
	m.nfds = SCM_MAX_FDS + 1;
	refused("scm_rights_recv_batch", scm_rights_recv_batch(SOCK, &m, 1, 0));
}

/*
 * Test every flag and size of a batch. proof/cbmc proves that scm_prepare_send and scm_prepare_recv
 * pass on every number of buffers and length of an address, so powers of two are enough here.
 */
static void
every_size(void)
{
	static const struct brought one = {1, 0, 0, 0};
	size_t n;

	for (n = 1; n <= SCM_MAX_IOV; n *= 2) {
		struct scm_message out = outgoing(0, 1, 0), in = incoming(1, 1, 0);

		(void)snprintf(what, sizeof(what), "%zu buffers, an address of %zu bytes", n, n);
		out.iovlen = in.iovlen = n;
		out.name = in.name = name;
		out.namelen = in.namelen = (socklen_t)n;
		sends(&out, 0);
		receives(in, one, 0);
	}
	for (n = 0; n < 32; n++) {
		struct scm_message out = outgoing(0, 1, 0), in = incoming(1, 1, 0);
		int flags = (int)(1U << n);

		(void)snprintf(what, sizeof(what), "flags %#x", 1U << n);
		sends(&out, flags);
		receives(in, one, flags);
	}
	for (n = 0; n <= SCM_MAX_BATCH + 1; n++)
		batch(n, n, n);
}

/*
 * Test write_fd with one descriptor, and read_fd with as many as its buffer has space for. One
 * length is enough: proof/cbmc proves both functions for every length.
 */
static void
pair(void)
{
	/* As in UNP §15.7. On 64-bit systems this is 2. */
	size_t most = (CMSG_SPACE(sizeof(int)) - CMSG_LEN(0)) / sizeof(int);
	struct scm_message m = outgoing(0, 1, 0);
	size_t n;

	begin("write_fd", SYS_sendmsg, 1, 0);
	expect_sent(0, &m);
	same("the result", write_fd(SOCK, &byte, 1, macros_fd(0)), 3);
	same("system calls", made, 1);
	for (n = 0; n <= most; n++) {
		struct brought b = {n, 0, 0, 0};
		int fd = -7;

		m = incoming(0, 1, 0);
		begin("read_fd", SYS_recvmsg, 1, MSG_CMSG_CLOEXEC);
		(void)snprintf(what, sizeof(what), "%zu descriptors received", n);
		expect_received(0, &m);
		want[0].msg.msg_controllen = CMSG_SPACE(sizeof(int));
		brings[0] = b;
		same("the result", read_fd(SOCK, &byte, 1, &fd), 3);
		same("system calls", made, 1);
		same("the descriptor", fd, n == 0 ? SCM_FD_NONE : n == 1 ? FIRST_FD : SCM_FD_LOST);
		same("descriptors closed", closed, n > 1 ? (long)n : 0);
	}
}

/*
 * With SO_RIGHTS_NOTRUNC, the kernel stores a negative value instead of each descriptor that a
 * security module rejected. proof/cbmc proves read_fd and scm_take_fds for every choice. Here
 * scm_rights_recv gets one choice, and a batch every choice among 5.
 */
static void
rejections(void)
{
	struct scm_message ms[SCM_MAX_BATCH];
	struct scm_message m = incoming(0, 5, 3);
	struct brought third = {5, 1, 1, 1 << 2};
	size_t i;

	(void)snprintf(what, sizeof(what), "5 descriptors, the third rejected");
	receives(m, third, 0);
	for (i = 0; i < SCM_MAX_BATCH; i++) {
		struct brought b = {5, 0, 0, (unsigned int)i};

		ms[i] = incoming(i, 5, 0);
		brings[i] = b;
		expect_received(i, &ms[i]);
	}
	(void)snprintf(what, sizeof(what), "5 descriptors each, some rejected");
	begin("scm_rights_recv_batch", SYS_recvmmsg, SCM_MAX_BATCH, MSG_CMSG_CLOEXEC);
	same("the result", scm_rights_recv_batch(SOCK, ms, SCM_MAX_BATCH, 0), SCM_MAX_BATCH);
	for (i = 0; i < SCM_MAX_BATCH; i++)
		received(&ms[i], &brings[i], 5);
}

int
main(void)
{
	iov[0].iov_base = &byte;
	iov[0].iov_len = 1;
	every_count();
	every_size();
	pair();
	rejections();
	(void)printf("csrc: %lu calls\n", compared);
	return 0;
}
