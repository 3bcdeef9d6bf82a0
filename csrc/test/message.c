/*
 * scm_rights_send and scm_rights_recv with any number of descriptors and buffers, with a capacity
 * below and above the number sent, with other control messages, and with flags. Each row is sent
 * and received in several ways.
 */
#include "call.h"
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Options of the receiving socket, and what the receiver requests. */
#define CRED 1
#define PIDFD 2
#define TIMESTAMP 4

/* All buffers, the first one, none, or SCM_MAX_IOV of one byte each. */
enum { ALL, FIRST, NONE, MOST };

struct row {
	const char *name;
	const char *types;
	size_t sent;    /* the number of descriptors */
	size_t room;    /* the capacity for them */
	size_t want;    /* how many are received */
	int want_flags; /* the flags that the receive reports */
	int options;
	int request;
	int full;  /* with LEFT(n), the process can open only n more descriptors */
	int flags; /* of the receive */
	int out;   /* the buffers of the sender */
	int in;    /* the buffers of the receiver */
	int peeks; /* how often the message is received with MSG_PEEK first */
	int same;  /* whether all descriptors are the same one */
};

#define LEFT(n) ((n) + 1)
#define MAX SCM_MAX_FDS
#ifdef __linux__
/* How many of the maximum fit into the control buffer after credentials. */
#define AFTER_CRED \
	((CMSG_LEN(sizeof(int) * MAX) - CMSG_SPACE(sizeof(struct ucred)) - CMSG_LEN(0)) / \
	    sizeof(int))
#endif

static const struct row rows[] = {
    {"message/bytes", "SDQ", .room = 1},
    {"message/repeated", "SDQ", .sent = 3, .room = 3, .want = 3, .same = 1},
    {"message/most-buffers", "SDQ", .sent = 1, .room = 1, .want = 1, .out = MOST, .in = MOST},
    {"message/no-buffer", "DQ", .sent = 1, .room = 1, .want = 1, .out = NONE, .in = NONE},
#ifdef __linux__
    {"capacity/more", "SDQ", .sent = 7, .room = 8, .want = 7},
    {"capacity/maximum", "SDQ", .sent = 7, .room = MAX, .want = 7},
    /* A full descriptor table truncates like a small buffer. */
    {"capacity/full", "SDQ", .sent = 7, .room = 7, .want_flags = MSG_CTRUNC, .full = LEFT(0)},
    {"capacity/3-left", "SDQ", 7, 7, .want = 3, .want_flags = MSG_CTRUNC, .full = LEFT(3)},
    {"capacity/2-of-3-left", "SDQ", 7, 2, .want = 2, .want_flags = MSG_CTRUNC, .full = LEFT(3)},
    {"capacity/7-left", "SDQ", .sent = 7, .room = 7, .want = 7, .full = LEFT(7)},
    /* Control messages before the descriptors are ignored, and may leave no space for them. */
    {"other-control/credentials", "SDQ", 2, MAX, .want = 2, .options = CRED},
    {"other-control/credentials-only", "SDQ", 2, 2, .want_flags = MSG_CTRUNC, .options = CRED},
    {"other-control/credentials-some", "SDQ", MAX, MAX, AFTER_CRED, MSG_CTRUNC, .options = CRED},
    {"other-control/timestamp", "D", 2, MAX, .want = 2, .options = TIMESTAMP},
    {"other-control/timestamp-only", "D", 2, 2, .want_flags = MSG_CTRUNC, .options = TIMESTAMP},
    /* The call closes a pidfd that was not requested, and sets MSG_CTRUNC. */
    {"other-control/pidfd", "SDQ", 2, MAX, 2, .want_flags = MSG_CTRUNC, .options = PIDFD},
    {"other-control/pidfd-exact", "SDQ", 2, 2, 2, .want_flags = MSG_CTRUNC, .options = PIDFD},
    {"other-control/pidfd-exact-odd", "SDQ", 3, 3, 3, .want_flags = MSG_CTRUNC, .options = PIDFD},
    {"other-control/pidfd-less", "SDQ", 2, 1, 1, .want_flags = MSG_CTRUNC, .options = PIDFD},
    {"other-control/pidfd-alone", "SDQ", 0, 1, .want_flags = MSG_CTRUNC, .options = PIDFD},
    {"cred/alone", "SDQ", .options = CRED, .request = CRED},
    {"cred/attached", "SDQ", 1, 1, 1, .options = CRED, .request = CRED},
    {"cred/attached-2", "SDQ", 2, 2, 2, .options = CRED, .request = CRED},
    {"cred/attached-all", "SDQ", MAX, MAX, MAX, .options = CRED, .request = CRED},
    {"cred/none", "SDQ", 1, 1, 1, .request = CRED},
    {"cred/pidfd-alone", "SDQ", .options = CRED | PIDFD, .request = CRED | PIDFD},
    {"cred/pidfd", "SDQ", 1, 1, 1, .options = CRED | PIDFD, .request = CRED | PIDFD},
    {"cred/pidfd-all", "SDQ", MAX, MAX, MAX, .options = CRED | PIDFD, .request = CRED | PIDFD},
    /*
     * With capacity for one descriptor and a pidfd, the padding lets the kernel install a second
     * descriptor on 64-bit systems. The call closes it.
     */
    {"cred/pidfd-padding", "SDQ", 2, 1, 1, MSG_CTRUNC, .options = PIDFD, .request = PIDFD},
    {"cred/no-pidfd", "SDQ", .request = PIDFD},
    {"cred/pidfd-full", "SDQ", .want_flags = MSG_CTRUNC, .options = PIDFD, .request = PIDFD,
	.full = LEFT(0)},
    /* Each peek installs a new descriptor and leaves the message in the queue, so nothing waits. */
    {"flags/peek", "SDQ", 1, 1, 1, .flags = MSG_DONTWAIT, .peeks = 2},
    /* A packet longer than the buffers. With MSG_TRUNC, the kernel returns its length. */
    {"flags/short", "DQ", 1, 1, 1, MSG_TRUNC, .in = FIRST},
    {"flags/length", "DQ", 1, 1, 1, MSG_TRUNC, .in = FIRST, .flags = MSG_TRUNC},
#endif
};

static const struct row *row;

/* How to send, with SCM_UNPADDED or without, and how to receive. */
static const struct way {
	int send;
	unsigned int options;
	int recv;
} * way,
    ways[] = {
	{SEND, 0, RECV},
#ifdef __linux__
#define RAW (-1) /* without the library */
	{SEND, SCM_UNPADDED, RECV},
	{RAW, 0, RECV},
#endif
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* Divide text into buffers, and return the number of bytes. */
static size_t
lay_out(struct scm_message *m, struct iovec *iov, char *text, int buffers, const size_t parts[3])
{
	static const size_t counts[] = {3, 1, 0, SCM_MAX_IOV};
	size_t n = 0;
	size_t i;

	memset(m, 0, sizeof(*m));
	m->iov = iov;
	m->iovlen = counts[buffers];
	for (i = 0; i < m->iovlen; i++) {
		iov[i].iov_len = buffers != MOST && i < 3 ? parts[i] : 1;
		iov[i].iov_base = iov[i].iov_len > 0 ? text + n : NULL;
		n += iov[i].iov_len;
	}
	return n;
}

/* Send text in the row's buffers, and return the number of bytes. */
static size_t
send_row(int type, int sock, char *text, int *files)
{
	static const size_t parts[] = {1, 0, 4};
	struct scm_cred cred = myself();
	struct scm_message m;
	struct iovec iov[SCM_MAX_IOV];
	size_t n = lay_out(&m, iov, text, row->out, parts);

#ifdef __linux__
	if (way->send == RAW) {
		memset(text, 0, n);
		CHECK_EQ(raw_send(sock, n, row->sent, files), n);
		return n;
	}
#endif
	m.fds = files;
	m.nfds = row->sent;
	m.flags = -1;
	m.options = way->options;
	if ((row->request & CRED) != 0)
		m.cred = &cred;
	if (raw_loses_empty(type) && row->out == MOST) {
		m.iovlen = 0;
		CALL(way->send, sock, &m, 0, 0);
		m.iovlen = SCM_MAX_IOV;
	}
	CALL(way->send, sock, &m, 0, n);
	CHECK_EQ(m.nfds, row->sent);
	CHECK_EQ(m.flags, -1);
	CHECK_CRED(&cred, 1);
	return n;
}

/* Check that this is a pidfd of this process, and close it. */
static void
close_pidfd(int pidfd)
{
	char name[64];
	char line[128];
	long pid = -1;
	FILE *f;

	(void)snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(name, "r");
	NEED(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "Pid:", 4) == 0)
			pid = strtol(line + 4, NULL, 10);
	}
	(void)fclose(f);
	CHECK_EQ(pid, getpid());
	CHECK(raw_cloexec(pidfd));
	raw_close(1, &pidfd);
}

/* Receive the row's message into m, with the capacities and stale results in the other fields. */
static void
receive(int sock, struct scm_message *m, int *came, int flags, long long want)
{
	static const struct scm_cred stale = {7, 7, 7};
	size_t i;

	for (i = 0; i < MAX; i++)
		came[i] = -7;
	m->fds = row->room > 0 ? came : NULL;
	m->nfds = row->room;
	m->namelen = 7;
	m->flags = -1;
	if (m->cred != NULL)
		*m->cred = stale;
	if (m->pidfd != NULL)
		*m->pidfd = -7;
	CALL(way->recv, sock, m, flags, want);
	for (i = m->nfds; i < MAX; i++)
		CHECK_EQ(came[i], -7);
}

static void
check_received(const struct scm_message *m, const int *files, const int *came, int before)
{
	int has_pidfd = (row->options & row->request & PIDFD) != 0 && row->full == 0;
	size_t i;

	CHECK_EQ(m->nfds, row->want);
	CHECK_EQ(m->flags, row->want_flags);
#ifdef __linux__
	CHECK_EQ(m->namelen, 0); /* without space for an address */
#endif
	CHECK_EQ(open_count(), before + (int)m->nfds + has_pidfd);
	for (i = 0; i < row->want && i < m->nfds; i++) {
		CHECK(raw_same(files[i], came[i]));
		CHECK(raw_cloexec(came[i]));
	}
	raw_close((int)m->nfds, came);
	if (m->cred != NULL)
		CHECK_CRED(m->cred, (row->options & CRED) != 0);
	if (m->pidfd != NULL && has_pidfd)
		close_pidfd(*m->pidfd);
	else if (m->pidfd != NULL)
		CHECK_EQ(*m->pidfd, -1);
}

/* Send and receive the row's message. */
static void
pass(int type)
{
	static const size_t parts[] = {2, 0, 8};
	struct scm_cred cred;
	struct scm_message m;
	struct iovec iov[SCM_MAX_IOV];
	char text[SCM_MAX_IOV];
	char got[SCM_MAX_IOV];
	int files[MAX];
	int came[MAX];
	int distinct = row->same ? 1 : (int)row->sent;
	int peeks;
	int pidfd;
	int sv[2];
	size_t space = lay_out(&m, iov, got, row->in, parts);
	size_t n;
	size_t i;

	if ((row->request & CRED) != 0)
		m.cred = &cred;
	if ((row->request & PIDFD) != 0)
		m.pidfd = &pidfd;
	for (i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	for (i = 0; i < row->sent; i++)
		files[i] = (int)i < distinct ? raw_file() : files[0];
	raw_pair(type, sv);
#ifdef __linux__
	NEED((row->options & CRED) == 0 || raw_option(sv[1], SO_PASSCRED) == 0);
	NEED((row->options & PIDFD) == 0 || raw_option(sv[1], SO_PASSPIDFD) == 0);
	NEED((row->options & TIMESTAMP) == 0 || raw_option(sv[1], SO_TIMESTAMP) == 0);
#endif
	receive(sv[1], &m, came, MSG_DONTWAIT, -EAGAIN);
	n = send_row(type, sv[0], text, files);
	for (peeks = row->peeks; peeks >= 0; peeks--) {
		size_t whole = n > space && (row->flags & MSG_TRUNC) == 0 ? space : n;
		int before = open_count();

#ifdef __linux__
		if (row->full > 0)
			raw_limit(row->full - 1);
#endif
		memset(got, '*', sizeof(got));
		receive(sv[1], &m, came, row->flags | (peeks > 0 ? MSG_PEEK : 0), (long long)whole);
#ifdef __linux__
		if (row->full > 0)
			raw_unlimit();
#endif
		CHECK(memcmp(got, text, whole < space ? whole : space) == 0);
		check_received(&m, files, came, before);
	}
	raw_close(distinct, files);
	raw_close(2, sv);
}

static void
every_way(int type)
{
	way = ways;
#ifdef __linux__
	/* Each limit takes a process, so send these only without the library. */
	if (row->full > 0)
		way = ways + WAYS - 1;
	if ((row->options & PIDFD) != 0 && !raw_passes_pidfd()) {
		check_skip("this kernel sends no pidfd");
		return;
	}
	if ((row->request & PIDFD) != 0 && row->sent > row->room &&
	    CMSG_SPACE(sizeof(int)) == CMSG_LEN(sizeof(int))) {
		check_skip("there is no padding on this architecture");
		return;
	}
#endif
	for (; way < ways + WAYS; way++)
		pass(type);
}

/* Pass every number of descriptors. */
static void
every_count(int type)
{
	static struct row made;

	row = &made;
	for (made.sent = 0; made.sent <= MAX; made.sent++) {
		made.room = made.want = made.sent;
		way = &ways[made.sent % WAYS];
		pass(type);
	}
}

#ifdef __linux__
/* Receive with every capacity below the number of descriptors. */
static void
every_capacity(int type)
{
	static struct row made = {.sent = 7, .want_flags = MSG_CTRUNC};

	row = &made;
	for (made.room = 0; made.room < made.sent; made.room++) {
		made.want = made.room;
		every_way(type);
	}
}

/* MSG_NOSIGNAL prevents SIGPIPE, which this process does not ignore. */
static void
nosignal(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int sv[2];

	raw_pair(type, sv);
	raw_close(1, &sv[1]);
	prepare(&m, &iov, &byte, 1, &sv[0], 1);
	CALL(SEND, sv[0], &m, MSG_NOSIGNAL, type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE);
	raw_close(1, &sv[0]);
}
#endif

int
main(void)
{
	/* The rows with credentials need a process, user and group with different numbers. */
	if (getuid() == 0 && setgid(2) < 0)
		(void)puts("setgid failed: the user and the group have the same number");
	check_run_types("SDQ", "message/every-count", every_count);
	for (row = rows; row < rows + sizeof(rows) / sizeof(rows[0]); row++)
		check_run_types(row->types, row->name, every_way);
#ifdef __linux__
	check_run_types("SDQ", "capacity/every-size", every_capacity);
	check_run_types("SDQ", "flags/nosignal", nosignal);
#endif
	return check_status();
}
