/* Errors of the four functions. A call that fails sends and receives nothing. */
#include "call.h"
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* Make a call with len bytes and the descriptor fd. It must fail with want. */
static void
fails_with(int which, int sock, size_t len, int fd, int flags, int want)
{
	static char bytes[1 << 20];
	struct scm_message m;
	struct iovec iov;

	prepare(&m, &iov, bytes, len, &fd, 1);
	CALL(which, sock, &m, flags, -want);
	if (which == READ_FD)
		CHECK_EQ(fd, SCM_FD_NONE);
}

static void
fails(int which, int sock, int fd, int want)
{
	fails_with(which, sock, 1, fd, 0, want);
}

/* Queue messages of one byte until a send would wait, and return their number. */
static int
fill(int sock)
{
	int n = 0;

	while (send(sock, "", 1, MSG_DONTWAIT) == 1)
		n++;
	NEED(errno == EAGAIN);
	return n;
}

/* Check that n messages of one byte are queued, and no others. */
static void
drain(int sock, int n)
{
	char byte;

	while (n-- > 0)
		CHECK_EQ(recv(sock, &byte, 1, MSG_DONTWAIT), 1);
	NEED(fcntl(sock, F_SETFL, O_NONBLOCK) == 0);
	fails(READ_FD, sock, -7, EAGAIN);
	fails(RECV, sock, -7, EAGAIN);
}

static void
bad_socket(void)
{
	int file = raw_file();
	int closed = raw_file();
	int which;

	raw_close(1, &closed);
	for (which = SEND; which <= READ_FD; which++) {
		fails(which, -1, file, EBADF);
		fails(which, closed, file, EBADF);
		fails(which, file, file, ENOTSOCK);
	}
	raw_close(1, &file);
}

static void
bad_descriptor(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int files[3];
	int closed = raw_file();
	int sv[2];

	raw_pair(type, sv);
	raw_close(1, &closed);
	fails(WRITE_FD, sv[0], -1, EBADF);
	fails(WRITE_FD, sv[0], closed, EBADF);
	fails(SEND, sv[0], -1, EBADF);
	fails(SEND, sv[0], closed, EBADF);
	files[0] = files[2] = sv[0];
	files[1] = closed; /* between good ones */
	prepare(&m, &iov, &byte, 1, files, 3);
	CALL(SEND, sv[0], &m, 0, -EBADF);
	drain(sv[1], 0);
	raw_close(2, sv);
}

static void
would_block(int type)
{
	int queued;
	int sv[2];

	raw_pair(type, sv);
	queued = fill(sv[0]);
	fails_with(SEND, sv[0], 1, sv[0], MSG_DONTWAIT, EAGAIN);
	NEED(fcntl(sv[0], F_SETFL, O_NONBLOCK) == 0);
	fails(SEND, sv[0], sv[0], EAGAIN);
	fails(WRITE_FD, sv[0], sv[0], EAGAIN);
	drain(sv[1], queued);
	raw_close(2, sv);
}

static volatile sig_atomic_t signals;

static void
on_signal(int signo)
{
	(void)signo;
	signals++;
}

/* The flags are 0 as in UNP, so a closed peer on a stream also causes SIGPIPE. */
static void
peer_closed(int type)
{
	struct sigaction action;
	struct sigaction old;
	int sv[2];

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	NEED(sigaction(SIGPIPE, &action, &old) == 0);
	signals = 0;
	raw_pair(type, sv);
	raw_close(1, &sv[1]);
	fails(WRITE_FD, sv[0], sv[0], type == SOCK_DGRAM ? ECONNREFUSED : EPIPE);
	CHECK_EQ(signals, type == SOCK_STREAM);
	NEED(sigaction(SIGPIPE, &old, NULL) == 0);
	raw_close(1, &sv[0]);
}

/* If a peer closes with unread data, the other side gets ECONNRESET once. */
static void
reset(int type)
{
	int sv[2];

	raw_pair(type, sv);
	CHECK_EQ(write(sv[0], "", 1), 1);
	raw_close(1, &sv[1]);
	fails(READ_FD, sv[0], -7, ECONNRESET);
	raw_close(1, &sv[0]);
}

static void
too_long(int type)
{
	int sv[2];

	raw_pair(type, sv);
	fails_with(WRITE_FD, sv[0], 1 << 20, sv[0], 0, EMSGSIZE);
	fails_with(SEND, sv[0], 1 << 20, sv[0], 0, EMSGSIZE);
	raw_close(2, sv);
}

/* A signal ends the wait, and nothing is retried. The timer repeats in case it fires too early. */
static void
interrupted(int type)
{
	static const struct itimerval often = {{0, 10000}, {0, 10000}};
	static const struct itimerval never;
	struct sigaction action;
	int queued;
	int sv[2];

	raw_pair(type, sv);
	queued = fill(sv[0]);
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	NEED(sigaction(SIGALRM, &action, NULL) == 0);
	NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
	fails(WRITE_FD, sv[0], sv[0], EINTR);
	fails(SEND, sv[0], sv[0], EINTR);
	fails(READ_FD, sv[0], -7, EINTR);
	fails(RECV, sv[0], -7, EINTR);
	NEED(setitimer(ITIMER_REAL, &never, NULL) == 0);
	drain(sv[1], queued);
	raw_close(2, sv);
}

int
main(void)
{
	check_run("error/bad-socket", bad_socket);
	check_run_types("SDQ", "error/bad-descriptor", bad_descriptor);
	check_run_types("SDQ", "error/would-block", would_block);
	check_run_types("SDQ", "error/peer-closed", peer_closed);
	check_run_types("SQ", "error/reset", reset);
	check_run_types("DQ", "error/too-long", too_long);
	check_run_types("SDQ", "error/interrupted", interrupted);
	return check_status();
}
