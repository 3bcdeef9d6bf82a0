/* scm_rights_send_batch and scm_rights_recv_batch: one system call for up to SCM_MAX_BATCH
 * messages. */
#include "call.h"
#include "check.h"
#include "prepare.h"
#include "raw.h"

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
	struct scm_cred creds[MOST];
	size_t n;
};

static struct batch out;
static struct batch in;

/*
 * Prepare n messages to send. The i-th has i + 2 bytes in two buffers, and i % 4 files. The
 * first and every second one after it have credentials.
 */
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
		out.creds[i] = myself();
		m->cred = i % 2 == 0 ? &out.creds[i] : NULL;
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
		m->cred = &in.creds[i];
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
	CHECK_CRED(got->cred, 1);
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
		CHECK_CRED(in.m[slot].cred, 0);
	}
}

/* Call a batch function and check its result, -errno for a failure. */
#define SEND_ALL(sock, ms, n, flags, want) \
	batch_call(__LINE__, scm_rights_send_batch, sock, ms, n, flags, (long long)(want))
#define RECV_ALL(sock, ms, n, flags, want) \
	batch_call(__LINE__, scm_rights_recv_batch, sock, ms, n, flags, (long long)(want))

static void
batch_call(int line, int (*function)(int, struct scm_message *, size_t, int), int sock,
    struct scm_message *ms, size_t n, int flags, long long want)
{
	errno = 0;
	check_eq(__FILE__, line, "the count", function(sock, ms, n, flags), want < 0 ? -1 : want);
	check_eq(__FILE__, line, "errno", errno, want < 0 ? -want : 0);
}

/* Make a pair whose second socket receives credentials. */
static void
cred_pair(int type, int sv[2])
{
	raw_pair(type, sv);
	NEED(raw_option(sv[1], SO_PASSCRED) == 0);
}

static void
empty(int sock)
{
	char byte;

	errno = 0;
	CHECK_EQ(recv(sock, &byte, 1, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
}

/* Check that nothing is sent or received if the last of n messages exceeds a limit. */
static void
exceed(const int sv[2], size_t n)
{
	size_t files = out.m[n - 1].nfds;
	size_t i;
	int buffers;

	for (buffers = 0; buffers < 2; buffers++) {
		out.m[n - 1].nfds = buffers ? files : SCM_MAX_FDS + 1;
		out.m[n - 1].iovlen = buffers ? SCM_MAX_IOV + 1 : 2;
		SEND_ALL(sv[0], out.m, n, MSG_DONTWAIT, buffers ? -EMSGSIZE : -EINVAL);
		for (i = 0; i < n; i++) {
			CHECK_EQ(out.m[i].len, 0);
			out.m[i].len = 99;
		}
		empty(sv[1]);
	}
	out.m[n - 1].iovlen = 2;
	CHECK_EQ(raw_send(sv[0], 1, 0, NULL), 1);
	for (buffers = 0; buffers < 2; buffers++) {
		slots(n);
		if (buffers)
			in.m[n - 1].iovlen = SCM_MAX_IOV + 1;
		else
			in.m[n - 1].nfds = SCM_MAX_FDS + 1;
		RECV_ALL(sv[1], in.m, n, MSG_DONTWAIT, buffers ? -EMSGSIZE : -EINVAL);
		untouched(0);
	}
	CHECK_EQ(read(sv[1], in.text, 1), 1);
}

/*
 * Pass n messages with as many calls as necessary. A call checks all messages, passes at most
 * SCM_MAX_BATCH of them, and clears the others.
 */
static void
pass(int type, size_t n)
{
	size_t first = n < SCM_MAX_BATCH ? n : SCM_MAX_BATCH;
	size_t rest = n - first;
	int sv[2];
	size_t i;

	cred_pair(type, sv);
	letters(n);
	if (n > 0)
		exceed(sv, n);
	slots(n);
	SEND_ALL(sv[0], out.m, n, 0, first);
	for (i = first; i < n; i++)
		CHECK_EQ(out.m[i].len, 0);
	RECV_ALL(sv[1], in.m, n, MSG_DONTWAIT, first);
	for (i = 0; i < first; i++)
		arrived(i, i);
	untouched(first);
	empty(sv[1]);
	SEND_ALL(sv[0], out.m + first, rest, 0, rest);
	slots(n);
	RECV_ALL(sv[1], in.m, rest, 0, rest);
	for (i = 0; i < rest; i++)
		arrived(i, first + i);
	slots(n);
	if (n > 0)
		RECV_ALL(sv[1], in.m, n, MSG_DONTWAIT, -EAGAIN);
	if (n > 0)
		untouched(0);
	close_letters();
	raw_close(2, sv);
}

static void
counts(int type)
{
	static const size_t rows[] = {0, 1, 2, 3, SCM_MAX_BATCH, SCM_MAX_BATCH + 1, MOST};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		pass(type, rows[i]);
}

/*
 * The message at has a bad descriptor, or a buffer with a bad address: those before it are sent
 * once, those after it are not.
 */
static void
stops(int type, size_t at, int error)
{
	size_t n = 5;
	int sv[2];
	size_t i;
	int kept;

	cred_pair(type, sv);
	letters(n);
	kept = out.fds[at][0];
	if (error == EBADF)
		out.fds[at][0] = -1;
	else
		out.m[at].iov = NULL;
	SEND_ALL(sv[0], out.m, n, 0, at);
	SEND_ALL(sv[0], out.m + at, n - at, 0, -error);
	for (i = at; i < n; i++)
		CHECK_EQ(out.m[i].len, 0);
	slots(n);
	RECV_ALL(sv[1], in.m, n, MSG_DONTWAIT, at);
	for (i = 0; i < at; i++)
		arrived(i, i);
	untouched(at);
	empty(sv[1]);

	out.fds[at][0] = kept;
	out.m[at].iov = out.iov[at];
	SEND_ALL(sv[0], out.m + at, n - at, 0, n - at);
	slots(n);
	RECV_ALL(sv[1], in.m, n, MSG_DONTWAIT, n - at);
	for (i = at; i < n; i++)
		arrived(i - at, i);
	untouched(n - at);
	close_letters();
	raw_close(2, sv);
}

static void
bad_message(int type)
{
	stops(type, 1, EBADF);
	stops(type, 3, EBADF);
	stops(type, 1, EFAULT);
}

/* A blocking socket has fewer messages than there are slots. */
static void
fewer(int type)
{
	static const int flags[] = {MSG_WAITFORONE, MSG_DONTWAIT};
	int sv[2];
	size_t i;

	cred_pair(type, sv);
	letters(2);
	for (i = 0; i < 2; i++) {
		SEND_ALL(sv[0], out.m, 2, 0, 2);
		slots(5);
		RECV_ALL(sv[1], in.m, 5, flags[i], 2);
		arrived(0, 0);
		arrived(1, 1);
		untouched(2);
	}
	close_letters();
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

	cred_pair(type, sv);
	for (i = 0; i < FILES; i++)
		files[i] = raw_file();
	slots(FILES + 1);
	for (i = 0; i <= FILES; i++) {
		CHECK_EQ(raw_send(sv[0], 1, FILES, files), 1);
		in.m[i].nfds = i;
	}
	before = open_count();
	RECV_ALL(sv[1], in.m, FILES + 1, 0, FILES + 1);
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
	SEND_ALL(sv[0], out.m, 3, MSG_DONTWAIT, 2);
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
	SEND_ALL(sv[0], out.m, 4, 0, 2);
	CHECK_EQ(out.m[0].len, 2);
	CHECK(out.m[1].len > 0 && out.m[1].len < whole);
	CHECK_EQ(out.m[2].len, 0);
	CHECK_EQ(out.m[3].len, 0);
	SEND_ALL(sv[0], out.m + 2, 2, 0, 2);
	close(sv[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	close_letters();
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
	RECV_ALL(sv[1], in.m, 2, 0, 1);
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
	int which;
	int fd;
	int sv[2];

	raw_pair(type, sv);
	for (which = SEND; which <= READ_FD; which++) {
		cut_short(sv, flags);
		fd = sv[1];
		prepare(&m, &iov, &byte, 1, &fd, 1);
		CALL(which, sv[1], &m, MSG_DONTWAIT, -EINTR);
		CHECK_EQ(fd, which == READ_FD ? SCM_FD_NONE : sv[1]);
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

int
main(void)
{
	check_run_types("DQ", "batch/counts", counts);
	check_run_types("DQ", "batch/bad-message", bad_message);
	check_run_types("DQ", "batch/fewer", fewer);
	check_run_types("SDQ", "batch/capacities", capacities);
	check_run("batch/partial-send", partial_send);
	check_run("batch/longest", longest);
	check_run_types("SDQ", "batch/interrupted", interrupted);
	return check_status();
}
