/* scm_rights_send_batch and scm_rights_recv_batch: one system call for up to SCM_MAX_BATCH
 * messages. */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST (SCM_MAX_BATCH + 2)
#define FILES 3 /* the most files in a message */

/* Messages with their buffers and descriptors. */
struct batch {
	struct scm_message m[MOST];
	struct iovec iov[MOST][2];
	char text[MOST][64];
	int fds[MOST][FILES];
	size_t n;
};

static struct batch out;
static struct batch in;

/* Prepare n messages to send. The i-th has i + 2 bytes in two buffers, and i % 4 files. */
static void
letters(size_t n)
{
	size_t i;
	size_t j;

	memset(&out, 0, sizeof(out));
	out.n = n;
	for (i = 0; i < n; i++) {
		struct scm_message *m = &out.m[i];

		memset(out.text[i], 'a' + (int)(i % 26), sizeof(out.text[i]));
		out.iov[i][0].iov_base = out.text[i];
		out.iov[i][0].iov_len = 1;
		out.iov[i][1].iov_base = out.text[i] + 1;
		out.iov[i][1].iov_len = i + 1;
		m->iov = out.iov[i];
		m->iovlen = 2;
		m->fds = out.fds[i];
		m->nfds = i % (FILES + 1);
		m->len = 99;
		for (j = 0; j < m->nfds; j++)
			out.fds[i][j] = raw_file();
	}
}

static void
close_letters(void)
{
	size_t i;

	for (i = 0; i < out.n; i++)
		raw_close((int)out.m[i].nfds, out.fds[i]);
}

/* Prepare n messages to receive into. */
static void
slots(size_t n)
{
	size_t i;

	memset(&in, 0, sizeof(in));
	in.n = n;
	for (i = 0; i < n; i++) {
		struct scm_message *m = &in.m[i];

		in.iov[i][0].iov_base = in.text[i];
		in.iov[i][0].iov_len = 3;
		in.iov[i][1].iov_base = in.text[i] + 3;
		in.iov[i][1].iov_len = sizeof(in.text[i]) - 3;
		m->iov = in.iov[i];
		m->iovlen = 2;
		m->fds = in.fds[i];
		m->nfds = FILES;
		m->flags = -1;
		m->len = 99;
	}
}

/* Check that the slot holds the letter with its descriptors, and close them. */
static void
arrived(size_t slot, size_t letter)
{
	const struct scm_message *got = &in.m[slot];
	const struct scm_message *sent = &out.m[letter];
	size_t i;

	CHECK_EQ(sent->len, letter + 2);
	CHECK_EQ(got->len, letter + 2);
	CHECK_EQ(got->flags, 0);
	CHECK(memcmp(in.text[slot], out.text[letter], letter + 2) == 0);
	CHECK_EQ(got->nfds, sent->nfds);
	for (i = 0; i < got->nfds && i < sent->nfds; i++) {
		CHECK(raw_same(got->fds[i], sent->fds[i]));
		CHECK(raw_cloexec(got->fds[i]));
	}
	raw_close((int)got->nfds, got->fds);
}

/* Check that this slot and those after it received nothing. */
static void
untouched(size_t slot)
{
	for (; slot < in.n; slot++) {
		CHECK_EQ(in.m[slot].len, 0);
		CHECK_EQ(in.m[slot].nfds, 0);
		CHECK_EQ(in.m[slot].flags, 0);
	}
}

static void
empty(int sock)
{
	char byte;

	errno = 0;
	CHECK_EQ(recv(sock, &byte, 1, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
}

static void
pass(int type, size_t n)
{
	size_t first = n < SCM_MAX_BATCH ? n : SCM_MAX_BATCH;
	size_t rest = n - first;
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	letters(n);
	slots(n);
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, n, 0), first);
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, n, MSG_DONTWAIT), first);
	for (i = 0; i < first; i++)
		arrived(i, i);
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m + first, rest, 0), rest);
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m + first, rest, 0), rest);
	for (; i < n; i++)
		arrived(i, i);
	empty(sv[1]);
	close_letters();
	raw_close(2, sv);
}

static void
counts(int type)
{
	pass(type, 0);
	pass(type, 1);
	pass(type, 2);
	pass(type, SCM_MAX_BATCH);
	pass(type, SCM_MAX_BATCH + 1);
}

/* The message at has a bad descriptor: those before it are sent once, those after it are not. */
static void
stops(int type, size_t at)
{
	size_t n = 5;
	int sv[2];
	size_t i;
	int kept;

	raw_pair(type, sv);
	letters(n);
	kept = out.fds[at][0];
	out.fds[at][0] = -1;
	if (at > 0)
		CHECK_EQ(scm_rights_send_batch(sv[0], out.m, n, 0), at);
	errno = 0;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m + at, n - at, 0), -1);
	CHECK_EQ(errno, EBADF);
	for (i = at; i < n; i++)
		CHECK_EQ(out.m[i].len, 0);
	slots(n);
	if (at > 0)
		CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, n, MSG_DONTWAIT), at);
	for (i = 0; i < at; i++)
		arrived(i, i);
	if (at > 0)
		untouched(at);
	empty(sv[1]);

	out.fds[at][0] = kept;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m + at, n - at, 0), n - at);
	slots(n);
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, n, MSG_DONTWAIT), n - at);
	for (i = at; i < n; i++)
		arrived(i - at, i);
	untouched(n - at);
	close_letters();
	raw_close(2, sv);
}

static void
bad_descriptor(int type)
{
	stops(type, 1);
	stops(type, 3);
}

/* If one message exceeds a limit, nothing is sent or received. */
static void
limits(int type)
{
	size_t n = 3;
	size_t files;
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	letters(n);
	files = out.m[2].nfds;
	out.m[2].nfds = SCM_MAX_FDS + 1;
	errno = 0;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, n, 0), -1);
	CHECK_EQ(errno, EINVAL);
	out.m[2].nfds = files;
	out.m[1].iovlen = SCM_MAX_IOV + 1;
	errno = 0;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, n, 0), -1);
	CHECK_EQ(errno, EMSGSIZE);
	out.m[1].iovlen = 2;
	empty(sv[1]);

	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, n, 0), n);
	slots(n);
	in.m[2].nfds = SCM_MAX_FDS + 1;
	errno = 0;
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, n, 0), -1);
	CHECK_EQ(errno, EINVAL);
	untouched(0);
	slots(n);
	in.m[0].iovlen = SCM_MAX_IOV + 1;
	errno = 0;
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, n, 0), -1);
	CHECK_EQ(errno, EMSGSIZE);
	untouched(0);
	slots(n);
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, n, 0), n);
	for (i = 0; i < n; i++)
		arrived(i, i);
	close_letters();
	raw_close(2, sv);
}

/* A call sends or receives SCM_MAX_BATCH messages, but checks and clears the others too. */
static void
more_than_maximum(int type)
{
	size_t last = MOST - 1;
	size_t files;
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	letters(MOST);
	files = out.m[last].nfds;
	out.m[last].nfds = SCM_MAX_FDS + 1;
	errno = 0;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, MOST, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EINVAL);
	for (i = 0; i < MOST; i++)
		CHECK_EQ(out.m[i].len, 0);
	empty(sv[1]);
	out.m[last].nfds = files;
	for (i = 0; i < MOST; i++)
		out.m[i].len = 99;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, MOST, MSG_DONTWAIT), SCM_MAX_BATCH);
	for (i = SCM_MAX_BATCH; i < MOST; i++)
		CHECK_EQ(out.m[i].len, 0);

	slots(MOST);
	in.m[last].iovlen = SCM_MAX_IOV + 1;
	errno = 0;
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, MOST, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EMSGSIZE);
	untouched(0);
	slots(MOST);
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, MOST, MSG_DONTWAIT), SCM_MAX_BATCH);
	for (i = 0; i < SCM_MAX_BATCH; i++)
		arrived(i, i);
	untouched(SCM_MAX_BATCH);
	empty(sv[1]);
	slots(MOST);
	errno = 0;
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, MOST, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
	untouched(0);
	close_letters();
	raw_close(2, sv);
}

/* A blocking socket has fewer messages than there are slots. */
static void
fewer(int type, int flag)
{
	size_t n = 2;
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	letters(n);
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, n, 0), n);
	slots(5);
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, 5, flag), n);
	for (i = 0; i < n; i++)
		arrived(i, i);
	untouched(n);
	close_letters();
	raw_close(2, sv);
}

static void
wait_for_one(int type)
{
	fewer(type, MSG_WAITFORONE);
}

static void
dontwait(int type)
{
	int sv[2];

	fewer(type, MSG_DONTWAIT);
	raw_pair(type, sv);
	slots(2);
	errno = 0;
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, 2, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
	untouched(0);
	raw_close(2, sv);
}

/* Receive three descriptors with capacities of 0, 1, 2 and 3. The flags of each slot report the
 * loss. */
static void
capacities(int type)
{
	int files[FILES];
	int sv[2];
	int before;
	size_t i;
	size_t j;

	raw_pair(type, sv);
	for (i = 0; i < FILES; i++)
		files[i] = raw_file();
	slots(FILES + 1);
	for (i = 0; i <= FILES; i++) {
		CHECK_EQ(raw_send(sv[0], 1, FILES, files), 1);
		in.m[i].nfds = i;
	}
	before = open_count();
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, FILES + 1, 0), FILES + 1);
	CHECK_EQ(open_count(), before + 0 + 1 + 2 + 3);
	for (i = 0; i <= FILES; i++) {
		CHECK_EQ(in.m[i].nfds, i);
		CHECK_EQ(in.m[i].flags, i < FILES ? MSG_CTRUNC : 0);
		for (j = 0; j < in.m[i].nfds; j++)
			CHECK(raw_same(in.fds[i][j], files[j]));
		raw_close((int)in.m[i].nfds, in.fds[i]);
	}
	raw_close(FILES, files);
	raw_close(2, sv);
}

/* On a stream the last message counted can be sent in part. Nothing is sent after it. */
static void
partial_send(void)
{
	static char text[1 << 20];
	struct iovec iov[2];
	size_t got = 0;
	ssize_t n;
	int sv[2];
	int i;

	raw_pair(SOCK_STREAM, sv);
	letters(3);
	iov[0].iov_base = text;
	iov[0].iov_len = 1;
	iov[1].iov_base = text + 1;
	iov[1].iov_len = sizeof(text) - 1;
	out.m[1].iov = iov;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, 3, MSG_DONTWAIT), 2);
	CHECK_EQ(out.m[0].len, 2);
	CHECK(out.m[1].len > 0 && out.m[1].len < sizeof(text));
	CHECK_EQ(out.m[2].len, 0);
	do {
		slots(1);
		iov[1].iov_base = text;
		iov[1].iov_len = sizeof(text);
		in.m[0].iov = &iov[1];
		in.m[0].iovlen = 1;
		n = scm_rights_recv(sv[1], &in.m[0], MSG_DONTWAIT);
		for (i = 0; n > 0 && i < (int)in.m[0].nfds; i++)
			raw_close(1, &in.fds[0][i]);
		if (n > 0)
			got += (size_t)n;
	} while (n > 0);
	CHECK_EQ(got, out.m[0].len + out.m[1].len);
	close_letters();
	raw_close(2, sv);
}

/* Start a child that reads to the end of the stream and exits with 0. */
static pid_t
reader(int sv[2])
{
	static char text[1 << 20];
	pid_t pid = fork();

	NEED(pid >= 0);
	if (pid == 0) {
		ssize_t n = 1;

		close(sv[0]);
		while (n > 0)
			n = read(sv[1], text, sizeof(text));
		_exit(n == 0 ? 0 : 1);
	}
	close(sv[1]);
	return pid;
}

/*
 * Linux sends at most INT_MAX bytes of a message, rounded down to whole pages, and sendmmsg
 * considers the message complete then. Even so, nothing may be sent after it. The message
 * consists of the same memory 1024 times.
 */
static void
longest(void)
{
	static char text[1 << 21];
	static struct iovec iov[SCM_MAX_IOV];
	size_t whole = sizeof(text) * SCM_MAX_IOV;
	int status = -1;
	int sv[2];
	pid_t pid;
	size_t i;

	if (getenv("UNDER_VALGRIND") != NULL) {
		check_skip("valgrind would check each byte of 2 GiB");
		return;
	}
	raw_pair(SOCK_STREAM, sv);
	pid = reader(sv);
	letters(4);
	for (i = 0; i < SCM_MAX_IOV; i++) {
		iov[i].iov_base = text;
		iov[i].iov_len = sizeof(text);
	}
	out.m[1].iov = iov;
	out.m[1].iovlen = SCM_MAX_IOV;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, 4, 0), 2);
	CHECK_EQ(out.m[0].len, 2);
	CHECK(out.m[1].len > 0 && out.m[1].len < whole);
	CHECK_EQ(out.m[2].len, 0);
	CHECK_EQ(out.m[3].len, 0);
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m + 2, 2, 0), 2);
	close(sv[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	close_letters();
}

/* The kernel rejects an invalid buffer address, as with scm_rights_send. */
static void
bad_address(int type)
{
	int sv[2];

	raw_pair(type, sv);
	letters(3);
	out.m[1].iov = NULL;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m, 3, 0), 1);
	errno = 0;
	CHECK_EQ(scm_rights_send_batch(sv[0], out.m + 1, 2, 0), -1);
	CHECK_EQ(errno, EFAULT);
	close_letters();
	raw_close(2, sv);
}

static void
on_alarm(int signo)
{
	(void)signo;
}

/* Receive two messages when one is queued. Signals arrive until the call returns. */
static void
cut_short(const int sv[2], int flags)
{
	static const struct itimerval often = {{0, 10000}, {0, 10000}};
	static const struct itimerval never;
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_alarm;
	action.sa_flags = flags;
	NEED(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK_EQ(raw_send(sv[0], 1, 0, NULL), 1);
	slots(2);
	NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
	CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, 2, 0), 1);
	NEED(setitimer(ITIMER_REAL, &never, NULL) == 0);
	CHECK_EQ(in.m[0].len, 1);
	untouched(1);
}

/* After a signal has ended a batch, the next call of any kind fails with EINTR, once. */
static void
signalled(int type, int flags)
{
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int fd;
	int sv[2];
	int i;

	raw_pair(type, sv);
	for (i = 0; i < 6; i++) {
		cut_short(sv, flags);
		prepare(&m, &iov, &byte, 1, NULL, 0);
		errno = 0;
		switch (i) {
		case 0:
			CHECK_EQ(scm_rights_recv_batch(sv[1], in.m, 2, MSG_DONTWAIT), -1);
			break;
		case 1:
			CHECK_EQ(scm_rights_send_batch(sv[1], &m, 1, 0), -1);
			break;
		case 2:
			CHECK_EQ(scm_rights_recv(sv[1], &m, MSG_DONTWAIT), -1);
			break;
		case 3:
			CHECK_EQ(scm_rights_send(sv[1], &m, 0), -1);
			break;
		case 4:
			CHECK_EQ(read_fd(sv[1], &byte, 1, &fd), -1);
			CHECK_EQ(fd, SCM_FD_NONE);
			break;
		default:
			CHECK_EQ(write_fd(sv[1], "", 1, sv[1]), -1);
			break;
		}
		CHECK_EQ(errno, EINTR);
		empty(sv[1]);
		empty(sv[0]);
	}
	raw_close(2, sv);
}

static void
interrupted(int type)
{
	signalled(type, 0);
	signalled(type, SA_RESTART);
}

static void
not_a_socket(void)
{
	letters(2);
	errno = 0;
	CHECK_EQ(scm_rights_send_batch(-1, out.m, 2, 0), -1);
	CHECK_EQ(errno, EBADF);
	CHECK_EQ(out.m[0].len, 0);
	slots(2);
	errno = 0;
	CHECK_EQ(scm_rights_recv_batch(-1, in.m, 2, 0), -1);
	CHECK_EQ(errno, EBADF);
	untouched(0);
	close_letters();
}

int
main(void)
{
	check_run_types("DQ", "batch/counts", counts);
	check_run_types("DQ", "batch/bad-descriptor", bad_descriptor);
	check_run_types("DQ", "batch/limits", limits);
	check_run_types("DQ", "batch/more-than-maximum", more_than_maximum);
	check_run_types("DQ", "batch/wait-for-one", wait_for_one);
	check_run_types("DQ", "batch/dontwait", dontwait);
	check_run_types("SDQ", "batch/capacities", capacities);
	check_run("batch/partial-send", partial_send);
	check_run("batch/longest", longest);
	check_run_types("DQ", "batch/bad-address", bad_address);
	check_run_types("SDQ", "batch/interrupted", interrupted);
	check_run("batch/not-a-socket", not_a_socket);
	return check_status();
}
