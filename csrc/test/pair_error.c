/* Errors of write_fd and read_fd. */
#include "check.h"
#include "raw.h"

#include "scm_rights.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* A failed call returns -1 and sets errno. read_fd also sets *recvfd. */
static void
read_fails(int sock, int want)
{
	char byte;
	int fd = -7;

	errno = 0;
	CHECK_EQ(read_fd(sock, &byte, 1, &fd), -1);
	CHECK_EQ(errno, want);
	CHECK_EQ(fd, SCM_FD_NONE);
}

static void
write_fails(int sock, int fd, int want)
{
	errno = 0;
	CHECK_EQ(write_fd(sock, "", 1, fd), -1);
	CHECK_EQ(errno, want);
}

static void
bad_socket(void)
{
	int file = raw_file();
	int closed = raw_file();

	raw_close(1, &closed);
	read_fails(-1, EBADF);
	read_fails(closed, EBADF);
	read_fails(file, ENOTSOCK);
	write_fails(-1, file, EBADF);
	write_fails(closed, file, EBADF);
	write_fails(file, file, ENOTSOCK);
	raw_close(1, &file);
}

/* With a bad descriptor nothing is sent, so the next receive would block. */
static void
bad_descriptor(int type)
{
	int closed = raw_file();
	int sv[2];

	raw_pair(type, sv);
	raw_close(1, &closed);
	write_fails(sv[0], -1, EBADF);
	write_fails(sv[0], closed, EBADF);
	NEED(fcntl(sv[1], F_SETFL, O_NONBLOCK) == 0);
	read_fails(sv[1], EAGAIN);
	raw_close(2, sv);
}

static volatile sig_atomic_t pipes;

static void
on_pipe(int signo)
{
	(void)signo;
	pipes++;
}

/* The flags are 0 as in UNP, so a closed peer on a stream also causes SIGPIPE. */
static void
peer_closed(int type)
{
	struct sigaction action;
	struct sigaction old;
	int file = raw_file();
	int sv[2];

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_pipe;
	NEED(sigaction(SIGPIPE, &action, &old) == 0);
	pipes = 0;
	raw_pair(type, sv);
	raw_close(1, &sv[1]);
	write_fails(sv[0], file, type == SOCK_DGRAM ? ECONNREFUSED : EPIPE);
	CHECK_EQ(pipes, type == SOCK_STREAM);
	NEED(sigaction(SIGPIPE, &old, NULL) == 0);
	raw_close(1, &file);
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
	read_fails(sv[0], ECONNRESET);
	raw_close(1, &sv[0]);
}

static void
too_long(int type)
{
	static char big[1 << 20];
	int file = raw_file();
	int sv[2];

	raw_pair(type, sv);
	errno = 0;
	CHECK_EQ(write_fd(sv[0], big, sizeof(big), file), -1);
	CHECK_EQ(errno, EMSGSIZE);
	raw_close(1, &file);
	raw_close(2, sv);
}

static void
on_alarm(int signo)
{
	(void)signo;
}

/* A signal ends the wait, and nothing is retried. The timer repeats in case it fires too early. */
static void
interrupted(int type)
{
	static const struct itimerval often = {{0, 10000}, {0, 10000}};
	static const struct itimerval never;
	struct sigaction action;
	int sv[2];

	raw_pair(type, sv);
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_alarm;
	NEED(sigaction(SIGALRM, &action, NULL) == 0);
	NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
	read_fails(sv[1], EINTR);
	NEED(setitimer(ITIMER_REAL, &never, NULL) == 0);
	raw_close(2, sv);
}

int
main(void)
{
	check_run("pair-error/bad-socket", bad_socket);
	check_run_types("SDQ", "pair-error/bad-descriptor", bad_descriptor);
	check_run_types("SDQ", "pair-error/peer-closed", peer_closed);
	check_run_types("SQ", "pair-error/reset", reset);
	check_run_types("DQ", "pair-error/too-long", too_long);
	check_run_types("SDQ", "pair-error/interrupted", interrupted);
	return check_status();
}
