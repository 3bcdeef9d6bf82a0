/*
 * The library makes the expected system calls and no others. Each function runs in a child
 * process that the kernel kills when it makes any other call.
 */
#include "check.h"

/* Not every libc is installed with the kernel's headers. */
#ifdef __has_include
#if !__has_include(<linux/filter.h>)
#define WITHOUT_HEADERS
#endif
#endif

#ifdef WITHOUT_HEADERS
static void
without_headers(void)
{
	check_skip("no <linux/filter.h>");
}

int
main(void)
{
	check_run("calls", without_headers);
	return check_status();
}
#else
#include "call.h"
#include "prepare.h"
#include "raw.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOAD_NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define IF_NOT(number, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(number), 0, skip)
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)

/* Allow this call and exit_group, and kill the process for any other. */
static int
only(int may)
{
	const struct sock_filter filter[] = {
	    LOAD_NUMBER,
	    IF_NOT(may, 1),
	    ANSWER(SECCOMP_RET_ALLOW),
	    IF_NOT(SYS_exit_group, 1),
	    ANSWER(SECCOMP_RET_ALLOW),
	    ANSWER(SECCOMP_RET_KILL),
	};
	const struct sock_fprog program = {
	    sizeof(filter) / sizeof(filter[0]), (struct sock_filter *)(size_t)filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* Report whether the child's calls can be filtered. If not, skip the case. */
static int
can_watch(void)
{
	int status;
	pid_t pid;

	if (getenv("UNDER_VALGRIND") != NULL) {
		check_skip("valgrind makes its own system calls");
		return 0;
	}
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0)
		_exit(only(SYS_exit_group) != 0);
	NEED(waitpid(pid, &status, 0) == pid);
	if (status == 0)
		return 1;
	check_skip(
	    WIFEXITED(status) ? "no seccomp filters" : "sanitizers make their own system calls");
	return 0;
}

/*
 * The calls in this order, and the system call that each may make. A receive with a capacity of one
 * for two descriptors has nothing to close, because the kernel drops the second.
 */
static const struct row {
	int may;
	int which;
	size_t nfds;
	ssize_t want;
	size_t received;
} rows[] = {
    {SYS_sendmsg, WRITE_FD, 1, 1, 0},
    {SYS_recvmsg, READ_FD, 1, 1, 1},
    {SYS_sendmsg, SEND, 0, 1, 0},
    {SYS_recvmsg, READ_FD, 1, 1, 0},
    {SYS_sendmsg, SEND, 2, 1, 0},
    {SYS_recvmsg, RECV, 2, 1, 2},
    {SYS_sendmsg, SEND, 2, 1, 0},
    {SYS_recvmsg, RECV, 1, 1, 1},
    {SYS_exit_group, SEND, SCM_MAX_FDS + 1, -1, 0},
    {SYS_exit_group, RECV, SCM_MAX_FDS + 1, -1, 0},
};

/* Make the call and report whether it returns something else. */
static int
differs(const struct row *row, const int sv[2])
{
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int fds[SCM_MAX_FDS + 1];
	int sends = row->which == SEND || row->which == WRITE_FD;

	fds[0] = fds[1] = sv[0];
	prepare(&m, &iov, &byte, 1, fds, row->nfds);
	if (call(row->which, sv[sends ? 0 : 1], &m, 0) != row->want)
		return 1;
	if (row->which == READ_FD)
		return row->received == 1 ? fds[0] < 0 : fds[0] != SCM_FD_NONE;
	return !sends && m.nfds != row->received;
}

/* Make each call in a child that may make no other system call. */
static void
expected(int type)
{
	const struct row *row;
	int status = 0;
	int sv[2];

	if (!can_watch())
		return;
	raw_pair(type, sv);
	/* Not after a failure, because a receiver would wait for what a killed sender has not sent.
	 */
	for (row = rows; row < rows + sizeof(rows) / sizeof(rows[0]) && status == 0; row++) {
		pid_t pid = fork();

		NEED(pid >= 0);
		if (pid == 0)
			_exit(only(row->may) != 0 ? 2 : differs(row, sv));
		NEED(waitpid(pid, &status, 0) == pid);
		CHECK_EQ(status, 0);
	}
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "calls", expected);
	return check_status();
}
#endif
