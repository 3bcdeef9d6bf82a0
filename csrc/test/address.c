/* Destination and sender addresses of datagrams on unconnected sockets. */
#include "call.h"
#include "check.h"
#include "prepare.h"
#include "raw.h"

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

/*
 * Make a datagram socket whose path fills sun_path, so that the NUL does not fit in it. Linux
 * counts the NUL, so the address is longer than a struct sockaddr_un.
 */
static int
bound_to_longest(char folder[], struct sockaddr_storage *name, socklen_t *len)
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
	*len = sizeof(struct sockaddr_un) + 1;
	return sock;
}

/*
 * Send between two sockets, and receive with different capacities for the address. As with
 * recvmsg, the length of a truncated address is more than the capacity.
 */
static void
to_and_from(int a, const void *me, socklen_t mylen)
{
	static const socklen_t rooms[] = {
	    sizeof(struct sockaddr_storage), sizeof(struct sockaddr_un), 20, 0};
	struct sockaddr_storage from;
	struct sockaddr_un to;
	struct scm_message m;
	struct iovec iov;
	socklen_t tolen;
	char byte = 'l';
	int file = raw_file();
	int fd = -7;
	int b = bound(&to, &tolen);
	int i;

	for (i = 0; i < 4; i++) {
		socklen_t room = rooms[i];

		prepare(&m, &iov, &byte, 1, &file, 1);
		m.name = &to;
		m.namelen = tolen;
		CALL(SEND, a, &m, 0, 1);
		memset(&from, '*', sizeof(from));
		m.fds = &fd;
		m.name = &from;
		m.namelen = room;
		CALL(RECV, b, &m, 0, 1);
		CHECK_EQ(m.namelen, mylen);
		CHECK(memcmp(&from, me, room < mylen ? room : mylen) == 0);
		CHECK_EQ(m.nfds, 1);
		CHECK(raw_same(file, fd));
		raw_close(1, &fd);
		CALL(RECV, b, &m, MSG_DONTWAIT, -EAGAIN);
	}
	raw_close(1, &b);
	m.name = &to;
	m.namelen = tolen;
	CALL(SEND, a, &m, 0, -ECONNREFUSED);
	raw_close(1, &file);
	raw_close(1, &a);
}

static void
addresses(void)
{
	char folder[] = "/tmp/scm-test-XXXXXX";
	struct sockaddr_storage longest;
	struct sockaddr_un me;
	socklen_t len;
	int sock = bound(&me, &len);

	to_and_from(sock, &me, len);
	sock = bound_to_longest(folder, &longest, &len);
	to_and_from(sock, &longest, len);
	CHECK_EQ(unlink((char *)&longest + offsetof(struct sockaddr_un, sun_path)), 0);
	CHECK_EQ(rmdir(folder), 0);
}

int
main(void)
{
	check_run("address/to-and-from", addresses);
	return check_status();
}
