/* Destination and sender addresses of datagrams on unconnected sockets. */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* Make a datagram socket with its own abstract name, and report the name. */
static int
bound(struct sockaddr_un *name, socklen_t *len)
{
	static int count;
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int n;

	memset(name, 0, sizeof(*name));
	name->sun_family = AF_UNIX;
	n = snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1, "scm-test-%ld-%d",
	    (long)getpid(), count++);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	NEED(sock >= 0 && bind(sock, (struct sockaddr *)name, *len) == 0);
	return sock;
}

static void
to_and_from(void)
{
	struct sockaddr_un to;
	struct sockaddr_un me;
	struct sockaddr_storage from;
	struct scm_message m;
	struct iovec iov;
	socklen_t tolen;
	socklen_t mylen;
	char byte = 'n';
	int file = raw_file();
	int fd = -7;
	int a = bound(&me, &mylen);
	int b = bound(&to, &tolen);

	prepare(&m, &iov, &byte, 1, &file, 1);
	m.name = &to;
	m.namelen = tolen;
	CHECK_EQ(scm_rights_send(a, &m, 0), 1);
	prepare(&m, &iov, &byte, 1, &fd, 1);
	m.name = &from;
	m.namelen = sizeof(from);
	CHECK_EQ(scm_rights_recv(b, &m, 0), 1);
	CHECK_EQ(m.nfds, 1);
	CHECK(raw_same(file, fd));
	CHECK_EQ(m.namelen, mylen);
	CHECK(memcmp(&from, &me, mylen) == 0);
	raw_close(1, &fd);

	/* Nothing to receive, so there is no address either. */
	m.namelen = sizeof(from);
	errno = 0;
	CHECK_EQ(scm_rights_recv(b, &m, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(m.namelen, 0);
	raw_close(1, &file);
	raw_close(1, &a);
	raw_close(1, &b);
}

static void
nothing_to_receive(void)
{
	struct sockaddr_un to;
	struct scm_message m;
	struct iovec iov;
	socklen_t tolen;
	char byte = 0;
	int file = raw_file();
	int sv[2];
	int gone = bound(&to, &tolen);

	raw_close(1, &gone);
	raw_pair(SOCK_DGRAM, sv);
	prepare(&m, &iov, &byte, 1, &file, 1);
	m.name = &to;
	m.namelen = tolen;
	errno = 0;
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), -1);
	CHECK_EQ(errno, ECONNREFUSED);
	raw_close(1, &file);
	raw_close(2, sv);
}

/* Make a datagram socket whose path fills sun_path. The NUL does not fit in it. */
static int
bound_to_longest(char folder[], struct sockaddr_storage *name)
{
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char *path = (char *)name + offsetof(struct sockaddr_un, sun_path);
	size_t used;

	NEED(mkdtemp(folder) != NULL);
	memset(name, 0, sizeof(*name));
	name->ss_family = AF_UNIX;
	used = strlen(folder);
	memcpy(path, folder, used);
	path[used] = '/';
	used++;
	memset(path + used, 'p', sizeof(((struct sockaddr_un *)NULL)->sun_path) - used);
	NEED(sock >= 0 && bind(sock, (struct sockaddr *)name, sizeof(struct sockaddr_un)) == 0);
	return sock;
}

/*
 * As with recvmsg, the length of a truncated address is more than the capacity. Linux counts
 * the NUL after a path, so the address with a path of 108 bytes is longer than a struct
 * sockaddr_un.
 */
static void
longer_than_buffer(void)
{
	static const socklen_t rooms[] = {
	    sizeof(struct sockaddr_storage), sizeof(struct sockaddr_un), 20, 0};
	const socklen_t length = sizeof(struct sockaddr_un) + 1;
	char folder[] = "/tmp/scm-test-XXXXXX";
	struct sockaddr_storage me;
	struct sockaddr_un to;
	struct sockaddr_storage from;
	struct scm_message m;
	struct iovec iov;
	socklen_t tolen;
	char byte = 'l';
	size_t i;
	int batch;
	int file = raw_file();
	int fd = -7;
	int a = bound_to_longest(folder, &me);
	int b = bound(&to, &tolen);

	for (i = 0; i < 2 * sizeof(rooms) / sizeof(*rooms); i++) {
		socklen_t room = rooms[i / 2];

		batch = i % 2 != 0;
		prepare(&m, &iov, &byte, 1, &file, 1);
		m.name = &to;
		m.namelen = tolen;
		CHECK_EQ(scm_rights_send(a, &m, 0), 1);
		memset(&from, '*', sizeof(from));
		prepare(&m, &iov, &byte, 1, &fd, 1);
		m.name = &from;
		m.namelen = room;
		if (batch)
			CHECK_EQ(scm_rights_recv_batch(b, &m, 1, 0), 1);
		else
			CHECK_EQ(scm_rights_recv(b, &m, 0), 1);
		CHECK_EQ(m.namelen, length);
		CHECK(memcmp(&from, &me, room < length ? room : length) == 0);
		CHECK_EQ(m.nfds, 1);
		CHECK(raw_same(file, fd));
		raw_close(1, &fd);
	}
	CHECK_EQ(unlink((char *)&me + offsetof(struct sockaddr_un, sun_path)), 0);
	CHECK_EQ(rmdir(folder), 0);
	raw_close(1, &file);
	raw_close(1, &a);
	raw_close(1, &b);
}

/* Send a batch to several sockets, and receive one from several. */
static void
batch(void)
{
	struct sockaddr_un names[3];
	struct sockaddr_storage from[3];
	struct scm_message ms[3];
	struct iovec iov[3];
	socklen_t lens[3];
	char bytes[3] = {'a', 'b', 'c'};
	int fds[3];
	int socks[3];
	int file = raw_file();
	int i;

	for (i = 0; i < 3; i++) {
		socks[i] = bound(&names[i], &lens[i]);
		prepare(&ms[i], &iov[i], &bytes[i], 1, &file, 1);
		ms[i].name = &names[i];
		ms[i].namelen = lens[i];
	}
	CHECK_EQ(scm_rights_send_batch(socks[0], ms, 3, 0), 3);
	for (i = 0; i < 3; i++) {
		prepare(&ms[0], &iov[0], &bytes[0], 1, &fds[0], 1);
		CHECK_EQ(scm_rights_recv_batch(socks[i], ms, 1, MSG_DONTWAIT), 1);
		raw_close(1, &fds[0]);
		prepare(&ms[0], &iov[0], &bytes[0], 1, &file, 1);
		ms[0].name = &names[0];
		ms[0].namelen = lens[0];
		CHECK_EQ(scm_rights_send(socks[i], &ms[0], 0), 1);
	}
	for (i = 0; i < 3; i++) {
		prepare(&ms[i], &iov[i], &bytes[i], 1, &fds[i], 1);
		ms[i].name = &from[i];
		ms[i].namelen = sizeof(from[i]);
	}
	CHECK_EQ(scm_rights_recv_batch(socks[0], ms, 3, 0), 3);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(ms[i].namelen, lens[i]);
		CHECK(memcmp(&from[i], &names[i], lens[i]) == 0);
		CHECK(raw_same(file, fds[i]));
	}
	raw_close(3, fds);
	raw_close(3, socks);
	raw_close(1, &file);
}

/*
 * Without an address buffer, the length is 0. A failure sets the capacities to 0, and setting
 * them again is all that a retry needs.
 */
static void
retry(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte;
	int file = raw_file();
	int fd = -7;
	int batch;
	int sv[2];

	raw_pair(type, sv);
	for (batch = 0; batch < 2; batch++) {
		prepare(&m, &iov, &byte, 1, &fd, 1);
		m.namelen = 7;
		errno = 0;
		if (batch)
			CHECK_EQ(scm_rights_recv_batch(sv[1], &m, 1, MSG_DONTWAIT), -1);
		else
			CHECK_EQ(scm_rights_recv(sv[1], &m, MSG_DONTWAIT), -1);
		CHECK_EQ(errno, EAGAIN);
		CHECK_EQ(m.nfds, 0);
		CHECK_EQ(m.namelen, 0);

		CHECK_EQ(raw_send(sv[0], 1, 1, &file), 1);
		m.nfds = 1;
		m.namelen = 7;
		if (batch)
			CHECK_EQ(scm_rights_recv_batch(sv[1], &m, 1, MSG_DONTWAIT), 1);
		else
			CHECK_EQ(scm_rights_recv(sv[1], &m, MSG_DONTWAIT), 1);
		CHECK_EQ(m.nfds, 1);
		CHECK_EQ(m.namelen, 0);
		CHECK(raw_same(file, fd));
		raw_close(1, &fd);
	}
	raw_close(1, &file);
	raw_close(2, sv);
}

int
main(void)
{
	check_run("address/to-and-from", to_and_from);
	check_run("address/nothing-to-receive", nothing_to_receive);
	check_run("address/longer-than-buffer", longer_than_buffer);
	check_run("address/batch", batch);
	check_run_types("SDQ", "address/retry", retry);
	return check_status();
}
