/* Credentials and pidfds in scm_rights_send, scm_rights_recv and the batch functions. */
#include "check.h"
#include "prepare.h"
#include "raw.h"

#include "scm_rights.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct scm_cred
myself(void)
{
	struct scm_cred cred;

	cred.pid = getpid();
	cred.uid = getuid();
	cred.gid = getgid();
	return cred;
}

static void
is_myself(const struct scm_cred *cred)
{
	CHECK_EQ(cred->pid, getpid());
	CHECK_EQ(cred->uid, getuid());
	CHECK_EQ(cred->gid, getgid());
}

static void
is_nobody(const struct scm_cred *cred)
{
	CHECK_EQ(cred->pid, 0);
	CHECK_EQ(cred->uid, (uid_t)-1);
	CHECK_EQ(cred->gid, (gid_t)-1);
}

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

/* Send n descriptors with credentials and receive both. */
static void
pass(int type, size_t n, unsigned int options)
{
	struct scm_cred cred = myself();
	struct scm_message m;
	struct iovec iov;
	int came[SCM_MAX_FDS];
	int files[SCM_MAX_FDS];
	char byte = 'c';
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	NEED(raw_option(sv[1], SO_PASSCRED) == 0);
	for (i = 0; i < n; i++)
		files[i] = raw_file();
	prepare(&m, &iov, &byte, 1, files, n);
	m.cred = &cred;
	m.options = options;
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), 1);
	is_myself(&cred);

	memset(&cred, 7, sizeof(cred));
	prepare(&m, &iov, &byte, 1, came, n);
	m.cred = &cred;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(m.flags, 0);
	CHECK_EQ(m.nfds, n);
	is_myself(&cred);
	for (i = 0; i < n && i < m.nfds; i++) {
		CHECK(raw_same(files[i], came[i]));
		CHECK(raw_cloexec(came[i]));
	}
	raw_close((int)m.nfds, came);
	raw_close((int)n, files);
	raw_close(2, sv);
}

static void
attached(int type)
{
	static const size_t counts[] = {0, 1, 2, SCM_MAX_FDS};
	size_t i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		pass(type, counts[i], 0);
		pass(type, counts[i], SCM_UNPADDED);
	}
}

/* Without SO_PASSCRED, or after a failure, the credentials are cleared. */
static void
none(int type)
{
	struct scm_cred cred = myself();
	struct scm_message m;
	struct iovec iov;
	char byte = 0;
	int file = raw_file();
	int fd = -7;
	int sv[2];

	raw_pair(type, sv);
	prepare(&m, &iov, &byte, 1, &file, 1);
	m.cred = &cred;
	CHECK_EQ(scm_rights_send(sv[0], &m, 0), 1);
	prepare(&m, &iov, &byte, 1, &fd, 1);
	m.cred = &cred;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(m.nfds, 1);
	CHECK_EQ(m.flags, 0);
	is_nobody(&cred);
	raw_close(1, &fd);

	cred = myself();
	errno = 0;
	CHECK_EQ(scm_rights_recv(sv[1], &m, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
	is_nobody(&cred);
	raw_close(1, &file);
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

/* Return the PID of a pidfd's process, or -1. */
static long
pid_of(int pidfd)
{
	char name[64];
	char line[128];
	long pid = -1;
	FILE *f;

	(void)snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(name, "r");
	if (f == NULL)
		return -1;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "Pid:", 4) == 0)
			pid = strtol(line + 4, NULL, 10);
	}
	(void)fclose(f);
	return pid;
}

/* Receive credentials, n descriptors and a pidfd, in this order. */
static void
receive_pidfd(int type, size_t n)
{
	struct scm_cred cred;
	struct scm_message m;
	struct iovec iov;
	int came[SCM_MAX_FDS];
	int files[SCM_MAX_FDS];
	char byte;
	int pidfd = -7;
	int sv[2];
	size_t i;

	raw_pair(type, sv);
	NEED(raw_option(sv[1], SO_PASSCRED) == 0);
	NEED(raw_option(sv[1], SO_PASSPIDFD) == 0);
	files[0] = raw_file();
	for (i = 1; i < n; i++)
		files[i] = files[0];
	CHECK_EQ(raw_send(sv[0], 1, n, files), 1);
	prepare(&m, &iov, &byte, 1, came, n);
	m.cred = &cred;
	m.pidfd = &pidfd;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(m.nfds, n);
	CHECK_EQ(m.flags, 0);
	is_myself(&cred);
	CHECK_EQ(pid_of(pidfd), getpid());
	CHECK(raw_cloexec(pidfd));
	raw_close(1, &pidfd);
	raw_close((int)m.nfds, came);
	raw_close(1, files);
	raw_close(2, sv);
}

static void
pidfd(int type)
{
	if (!raw_passes_pidfd()) {
		check_skip("this kernel sends no pidfd");
		return;
	}
	receive_pidfd(type, 0);
	receive_pidfd(type, 1);
	receive_pidfd(type, SCM_MAX_FDS);
}

/*
 * With capacity for one descriptor and a pidfd, the padding lets the kernel install a second
 * descriptor on 64-bit systems. The call closes it and sets MSG_CTRUNC.
 */
static void
pidfd_padding(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte;
	int before;
	int files[2];
	int came[2] = {-7, -7};
	int pidfd = -7;
	int sv[2];

	if (CMSG_SPACE(sizeof(int)) == CMSG_LEN(sizeof(int))) {
		check_skip("there is no padding on this architecture");
		return;
	}
	if (!raw_passes_pidfd()) {
		check_skip("this kernel sends no pidfd");
		return;
	}
	raw_pair(type, sv);
	NEED(raw_option(sv[1], SO_PASSPIDFD) == 0);
	files[0] = raw_file();
	files[1] = raw_file();
	CHECK_EQ(raw_send(sv[0], 1, 2, files), 1);
	CHECK_EQ(raw_send(sv[0], 1, 2, files), 1);
	before = open_count();
	prepare(&m, &iov, &byte, 1, came, 1);
	m.pidfd = &pidfd;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(m.nfds, 1);
	CHECK_EQ(m.flags, MSG_CTRUNC);
	CHECK_EQ(came[1], -7);
	CHECK_EQ(open_count(), before + 2);
	raw_close(1, came);
	raw_close(1, &pidfd);
	CHECK_EQ(scm_rights_recv_batch(sv[1], &m, 1, 0), 1);
	CHECK_EQ(m.nfds, 1);
	CHECK_EQ(m.flags, MSG_CTRUNC);
	CHECK_EQ(came[1], -7);
	CHECK_EQ(open_count(), before + 2);
	raw_close(1, came);
	raw_close(1, &pidfd);
	raw_close(2, files);
	raw_close(2, sv);
}

/* The pidfd is -1 if none was sent, or if the descriptor table was full. */
static void
no_pidfd(int type)
{
	struct scm_message m;
	struct iovec iov;
	char byte;
	int fd;
	int sv[2];

	if (!raw_passes_pidfd()) {
		check_skip("this kernel sends no pidfd");
		return;
	}
	raw_pair(type, sv);
	CHECK_EQ(raw_send(sv[0], 1, 0, NULL), 1);
	prepare(&m, &iov, &byte, 1, NULL, 0);
	fd = -7;
	m.pidfd = &fd;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	CHECK_EQ(fd, -1);
	CHECK_EQ(m.flags, 0);

	NEED(raw_option(sv[1], SO_PASSPIDFD) == 0);
	CHECK_EQ(raw_send(sv[0], 1, 0, NULL), 1);
	raw_limit(0);
	fd = -7;
	CHECK_EQ(scm_rights_recv(sv[1], &m, 0), 1);
	raw_unlimit();
	CHECK_EQ(fd, -1);
	CHECK_EQ(m.flags, MSG_CTRUNC);
	raw_close(2, sv);
}

/* Each message of a batch has its own credentials. */
static void
batch(int type)
{
	struct scm_cred creds[3];
	struct scm_message ms[3];
	struct iovec iov[3];
	char bytes[3] = {'a', 'b', 'c'};
	int files[3];
	int came[3];
	int sv[2];
	int i;

	raw_pair(type, sv);
	NEED(raw_option(sv[1], SO_PASSCRED) == 0);
	for (i = 0; i < 3; i++) {
		files[i] = raw_file();
		prepare(&ms[i], &iov[i], &bytes[i], 1, &files[i], 1);
		creds[i] = myself();
		if (i != 1)
			ms[i].cred = &creds[i];
	}
	CHECK_EQ(scm_rights_send_batch(sv[0], ms, 3, 0), 3);
	for (i = 0; i < 3; i++) {
		prepare(&ms[i], &iov[i], &bytes[i], 1, &came[i], 1);
		memset(&creds[i], 7, sizeof(creds[i]));
		ms[i].cred = &creds[i];
	}
	CHECK_EQ(scm_rights_recv_batch(sv[1], ms, 3, 0), 3);
	for (i = 0; i < 3; i++) {
		is_myself(&creds[i]);
		CHECK_EQ(ms[i].nfds, 1);
		CHECK_EQ(ms[i].flags, 0);
		CHECK(raw_same(files[i], came[i]));
	}
	raw_close(3, came);
	raw_close(3, files);
	raw_close(2, sv);
}

int
main(void)
{
	check_run_types("SDQ", "cred/attached", attached);
	check_run_types("SDQ", "cred/none", none);
	check_run_types("SDQ", "cred/forged", forged);
	check_run_types("SDQ", "cred/outside-namespace", outside_namespace);
	check_run_types("SDQ", "cred/pidfd", pidfd);
	check_run_types("SDQ", "cred/pidfd-padding", pidfd_padding);
	check_run_types("SDQ", "cred/no-pidfd", no_pidfd);
	check_run_types("DQ", "cred/batch", batch);
	return check_status();
}
