/* Forged credentials, and those of a process in another namespace. */
#include "call.h"
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Receive in a child process in a new PID namespace. It gets the user and group of the
 * sender, but not its PID.
 */
static int
receive_inside(int sock, uid_t uid, gid_t gid)
{
	struct scm_cred cred = {7, 7, 7};
	struct scm_message m;
	struct iovec iov;
	char byte;
	int status;
	pid_t child;

	if (unshare(geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWPID | CLONE_NEWUSER) < 0)
		return 77;
	child = fork();
	if (child < 0)
		return 77;
	if (child > 0)
		return waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : 1;
	prepare(&m, &iov, &byte, 1, NULL, 0);
	m.cred = &cred;
	if (scm_rights_recv(sock, &m, 0) != 1)
		return 2;
	/* A user namespace without a map reports the overflow user and group. */
	if (getuid() != uid)
		uid = gid = 65534;
	return cred.pid == 0 && cred.uid == uid && cred.gid == gid ? 0 : 3;
}

static void
outside_namespace(int type)
{
	int status;
	int sv[2];
	pid_t child;

	raw_pair(type, sv);
	NEED(raw_option(sv[1], SO_PASSCRED) == 0);
	CHECK_EQ(raw_send(sv[0], 1, 0, NULL), 1);
	child = fork();
	NEED(child >= 0);
	if (child == 0)
		_exit(receive_inside(sv[1], getuid(), getgid()));
	NEED(waitpid(child, &status, 0) == child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		check_skip("cannot create a PID namespace");
	else
		CHECK_EQ(status, 0);
	raw_close(2, sv);
}

/* The kernel looks for the process, if the sender has CAP_SYS_ADMIN and may name another one. */
static void
no_process(int type)
{
	struct scm_cred cred = myself();
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int sv[2];

	raw_pair(type, sv);
	cred.pid = 1 << 30; /* more than PID_MAX_LIMIT */
	prepare(&m, &iov, &byte, 1, NULL, 0);
	m.cred = &cred;
	errno = 0;
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), -1);
	CHECK(errno == ESRCH || errno == EPERM);
	CHECK_EQ(recv(sv[1], &byte, 1, MSG_DONTWAIT), -1);
	raw_close(2, sv);
}

/* In a child, send false credentials. Root first becomes another user. */
static int
forge(int sock)
{
	struct scm_cred cred;
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int file = 0;
	int wrong = 0;
	int i;

	if (getuid() == 0 &&
	    (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
		return 2;
	for (i = 0; i < 3; i++) {
		cred = myself();
		if (i == 0)
			cred.uid = 0;
		else if (i == 1)
			cred.gid++;
		else
			cred.pid = getppid();
		prepare(&m, &iov, &byte, 1, &file, 1);
		m.cred = &cred;
		errno = 0;
		if (scm_rights_send(sock, &m, 0) != -1 || errno != EPERM)
			wrong = 1;
	}
	return wrong;
}

/* The kernel rejects forged credentials, and nothing is sent. */
static void
forged(int type)
{
	pid_t child;
	char byte;
	int status;
	int sv[2];

	raw_pair(type, sv);
	child = fork();
	NEED(child >= 0);
	if (child == 0)
		_exit(forge(sv[0]));
	NEED(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	errno = 0;
	CHECK_EQ(recv(sv[1], &byte, 1, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "cred/forged", forged);
	check_run_types("SDQ", "cred/no-process", no_process);
	check_run_types("SDQ", "cred/outside-namespace", outside_namespace);
	return check_status();
}
