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
#include "raw.h"

#include "scm_rights.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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
	check_skip("no seccomp filter, or a sanitizer that makes its own system calls");
	return 0;
}

/* Run one of the functions below in a child that may make only this call. */
static void
watch(int may, int sock, int (*call)(int))
{
	int status;
	pid_t pid = fork();

	NEED(pid >= 0);
	if (pid == 0)
		_exit(only(may) != 0 ? 2 : call(sock) != 0);
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK(!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS);
	CHECK_EQ(status, 0);
}

static int
call_write_fd(int sock)
{
	return write_fd(sock, "", 1, sock) != 1;
}

static int
call_read_fd(int sock)
{
	char byte;
	int fd;

	return read_fd(sock, &byte, 1, &fd) != 1 || fd < 0;
}

static int
call_read_fd_bytes(int sock)
{
	char byte;
	int fd;

	return read_fd(sock, &byte, 1, &fd) != 1 || fd != SCM_FD_NONE;
}

static struct iovec iov;

static int
call_send(int sock)
{
	int fds[2];
	const struct scm_message m = {.iov = &iov, .iovlen = 1, .fds = fds, .nfds = 2};

	fds[0] = fds[1] = sock;
	return scm_rights_send(sock, &m, 0) != 1;
}

static int
call_recv(int sock)
{
	int fds[2];
	struct scm_message m = {.iov = &iov, .iovlen = 1, .fds = fds, .nfds = 2};

	return scm_rights_recv(sock, &m, 0) != 1 || m.nfds != 2;
}

/* Two descriptors, a capacity of one: the kernel drops the second, so there is nothing to close. */
static int
call_recv_one(int sock)
{
	int fds[1];
	struct scm_message m = {.iov = &iov, .iovlen = 1, .fds = fds, .nfds = 1};

	return scm_rights_recv(sock, &m, 0) != 1 || m.nfds != 1;
}

static int
call_too_many(int sock)
{
	struct scm_message m = {.iov = &iov, .iovlen = 1, .fds = NULL, .nfds = SCM_MAX_FDS + 1};

	return scm_rights_send(sock, &m, 0) != -1 || scm_rights_recv(sock, &m, 0) != -1;
}

static void
pair(int type)
{
	int sv[2];

	if (!can_watch())
		return;
	raw_pair(type, sv);
	watch(SYS_sendmsg, sv[0], call_write_fd);
	watch(SYS_recvmsg, sv[1], call_read_fd);
	CHECK_EQ(write(sv[0], "", 1), 1);
	watch(SYS_recvmsg, sv[1], call_read_fd_bytes);
	raw_close(2, sv);
}

static void
message(int type)
{
	char byte = 0;
	int sv[2];

	if (!can_watch())
		return;
	raw_pair(type, sv);
	iov.iov_base = &byte;
	iov.iov_len = 1;
	watch(SYS_sendmsg, sv[0], call_send);
	watch(SYS_recvmsg, sv[1], call_recv);
	watch(SYS_sendmsg, sv[0], call_send);
	watch(SYS_recvmsg, sv[1], call_recv_one);
	watch(SYS_exit_group, sv[1], call_too_many);
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "calls/pair", pair);
	check_run_types("SDQ", "calls/message", message);
	return check_status();
}
#endif
