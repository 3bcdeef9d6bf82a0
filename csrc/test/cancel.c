/*
 * A call returns or closes every descriptor that it receives, also in a cancelled thread and
 * when a signal handler runs.
 */
#include "call.h"
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct call {
	int sock;
	int which;
	ssize_t n;
	int fd;
	int pidfd;
};

static ssize_t
make(struct call *c)
{
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int sends = c->which == SEND || c->which == WRITE_FD;

	prepare(&m, &iov, &byte, 1, sends ? &c->sock : &c->fd, 1);
	if (c->pidfd != -2)
		m.pidfd = &c->pidfd;
	return call(c->which, c->sock, &m, 0);
}

/* Make the call in a thread that is already cancelled. Any cancellation point in it would end the
 * thread. */
static void *
cancelled(void *arg)
{
	struct call *c = arg;

	(void)pthread_cancel(pthread_self());
	c->n = make(c);
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return arg;
}

/* Check that the call returns in a cancelled thread. */
static void
survives(struct call *c)
{
	pthread_t thread;
	void *end = NULL;

	c->n = -7;
	c->fd = -1;
	NEED(pthread_create(&thread, NULL, cancelled, c) == 0);
	NEED(pthread_join(thread, &end) == 0);
	CHECK(end == c);
}

/* read_fd receives two descriptors and closes both. */
static void
cancel_read(int type)
{
	struct call c = {0, READ_FD, 0, 0, -2};
	int files[2];
	int sv[2];

	raw_pair(type, sv);
	files[0] = raw_file();
	files[1] = raw_file();
	CHECK_EQ(raw_send(sv[0], 1, 2, files), 1);
	c.sock = sv[1];
	survives(&c);
	CHECK_EQ(c.n, 1);
	CHECK_EQ(c.fd, SCM_FD_LOST);
	raw_close(2, files);
	raw_close(2, sv);
}

/* With a capacity of one, the call receives two descriptors before a pidfd and closes the second.
 */
static void
cancel_recv(int type)
{
	struct call c = {0, RECV, 0, 0, -2};
	int files[2];
	int sv[2];

	if (!raw_passes_pidfd()) {
		check_skip("this kernel sends no pidfd");
		return;
	}
	raw_pair(type, sv);
	NEED(raw_option(sv[1], SO_PASSPIDFD) == 0);
	files[0] = raw_file();
	files[1] = raw_file();
	c.sock = sv[1];
	CHECK_EQ(raw_send(sv[0], 1, 2, files), 1);
	c.pidfd = -1;
	survives(&c);
	CHECK_EQ(c.n, 1);
	CHECK(raw_same(files[0], c.fd));
	raw_close(1, &c.fd);
	/* Without padding, the second descriptor has used up the space of the pidfd. */
	if (CMSG_SPACE(sizeof(int)) > CMSG_LEN(sizeof(int)))
		raw_close(1, &c.pidfd);
	else
		CHECK_EQ(c.pidfd, -1);
	raw_close(2, files);
	raw_close(2, sv);
}

static void
cancel_send(int type)
{
	struct call c = {0, SEND, 0, 0, -2};
	int sv[2];

	raw_pair(type, sv);
	c.sock = sv[0];
	survives(&c);
	CHECK_EQ(c.n, 1);
	c.which = WRITE_FD;
	survives(&c);
	CHECK_EQ(c.n, 1);
	raw_close(2, sv);
}

/* The wait is not a cancellation point. The child sends before or during it. */
static void
cancel_wait(int type)
{
	struct call c = {0, READ_FD, 0, 0, -2};
	int file = raw_file();
	int status;
	int sv[2];
	pid_t child;

	raw_pair(type, sv);
	c.sock = sv[1];
	child = fork();
	NEED(child >= 0);
	if (child == 0)
		_exit(raw_send(sv[0], 1, 1, &file) != 1);
	survives(&c);
	CHECK_EQ(c.n, 1);
	CHECK(raw_same(file, c.fd));
	NEED(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	raw_close(1, &c.fd);
	raw_close(1, &file);
	raw_close(2, sv);
}

static int handlers_socket;
static volatile sig_atomic_t handled;

/* Receive two descriptors on a separate socket, inside a call to the same function. */
static void
handler(int number)
{
	int saved = errno;
	char byte;
	int fd;

	(void)number;
	if (read_fd(handlers_socket, &byte, 1, &fd) == 1 && fd == SCM_FD_LOST)
		handled = 1;
	errno = saved;
}

static void *
interrupted(void *arg)
{
	struct call *c = arg;

	c->n = make(c);
	c->sock = c->n < 0 ? errno : 0;
	return arg;
}

/* A signal ends the wait with EINTR, and no descriptor leaks. */
static void
signal_handler(int type)
{
	struct call c = {0, READ_FD, 0, 0, -2};
	struct sigaction action;
	struct timespec moment = {0, 1000000};
	pthread_t thread;
	int files[2];
	int own[2];
	int sv[2];
	void *end;

	raw_pair(type, sv);
	raw_pair(SOCK_SEQPACKET, own);
	files[0] = raw_file();
	files[1] = raw_file();
	handlers_socket = own[1];
	handled = 0;
	CHECK_EQ(raw_send(own[0], 1, 2, files), 1);
	memset(&action, 0, sizeof(action));
	action.sa_handler = handler;
	NEED(sigaction(SIGUSR1, &action, NULL) == 0);
	c.sock = sv[1];
	NEED(pthread_create(&thread, NULL, interrupted, &c) == 0);
	/* After an extra signal, the handler waits until the shutdown. */
	while (!handled) {
		NEED(pthread_kill(thread, SIGUSR1) == 0);
		(void)nanosleep(&moment, NULL);
	}
	NEED(shutdown(own[0], SHUT_RDWR) == 0);
	CHECK_EQ(raw_send(sv[0], 1, 2, files), 1);
	NEED(pthread_join(thread, &end) == 0);
	if (c.n < 0) {
		CHECK_EQ(c.sock, EINTR);
		CHECK_EQ(c.fd, SCM_FD_NONE);
		c.sock = sv[1];
		CHECK_EQ(make(&c), 1);
	}
	CHECK_EQ(c.fd, SCM_FD_LOST);
	raw_close(2, files);
	raw_close(2, own);
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "cancel/read", cancel_read);
	check_run_types("SDQ", "cancel/recv", cancel_recv);
	check_run_types("SDQ", "cancel/send", cancel_send);
	check_run_types("SDQ", "cancel/wait", cancel_wait);
	check_run_types("SDQ", "cancel/signal-handler", signal_handler);
	return check_status();
}
