/*
 * A program that performs the steps in its arguments, and prints its open descriptors before it
 * ends or executes another program. A step is a word, and most steps have parameters:
 *
 *   open:SLOT:PATH     open a file for reading
 *   write:SLOT:PATH    open a file for writing
 *   unlink:PATH
 *   eventfd:SLOT       create an eventfd
 *   send:SLOTS         send the descriptors in these slots to itself
 *   recv:SLOTS         receive descriptors into these slots, without close-on-exec
 *   recvx:SLOTS        receive descriptors into these slots, with close-on-exec
 *   close:SLOT
 *   dup:SLOT:FD        duplicate a descriptor to the value FD
 *   move:SLOT:FD       duplicate it, and close the original
 *   ring:SLOT          make it a fixed file of an io_uring, whose own descriptor is in slot r
 *   fork ... end       perform the steps in a child, and wait for it
 *   share ... end      the same in a child that shares the descriptor table
 *   unshare            stop sharing the descriptor table
 *   threads:N          create N-1 threads that wait
 *   other              perform the rest on another thread, after the first thread has ended
 *   hide               make the process not dumpable
 *   exec               execute /bin/true
 *   kill               end by SIGKILL
 *   quit               end without printing anything
 *
 * A slot is a letter.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	io_uring_setup = 425,
	io_uring_register = 427,
	register_files = 2,
	register_files_update = 6
};

static int slots[128];
static int pair[2];

static void fail(const char *step) __attribute__((noreturn));

static void
fail(const char *step)
{
	perror(step);
	_exit(99);
}

static void
check(int ok, const char *step)
{
	if (!ok)
		fail(step);
}

static int
parse_int(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	check(end != text && *end == 0, text);
	return (int)n;
}

/* list prints "PID FD NAME", with "x" before FD if the descriptor is close-on-exec. */
static void
list(void)
{
	DIR *dir = opendir("/proc/thread-self/fd");
	struct dirent *entry;

	if (dir == NULL)
		fail("list");
	while ((entry = readdir(dir)) != NULL) {
		int fd;
		char path[64];
		char name[4096];
		ssize_t n;

		if (entry->d_name[0] == '.')
			continue;
		fd = parse_int(entry->d_name);
		if (fd == dirfd(dir))
			continue;
		(void)snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
		n = readlink(path, name, sizeof(name) - 1);
		check(n > 0, "list");
		name[n] = 0;
		printf("%d %s%d %s\n", (int)getpid(), fcntl(fd, F_GETFD) & FD_CLOEXEC ? "x" : "",
		    fd, name);
	}
	closedir(dir);
	(void)fflush(stdout);
}

static void
transfer(const char *step, const char *names)
{
	char byte = 0;
	union {
		char space[CMSG_SPACE(10 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space};
	int count = (int)strlen(names);
	int *fds = (int *)CMSG_DATA(&control.align);
	int i;

	msg.msg_controllen = CMSG_LEN((size_t)count * sizeof(int));
	if (strcmp(step, "send") == 0) {
		memset(&control, 0, sizeof(control));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = msg.msg_controllen;
		for (i = 0; i < count; i++)
			fds[i] = slots[(int)names[i]];
		check(sendmsg(pair[0], &msg, 0) == 1, step);
		return;
	}
	check(recvmsg(pair[1], &msg, strcmp(step, "recvx") == 0 ? MSG_CMSG_CLOEXEC : 0) == 1, step);
	for (i = 0; i < count; i++)
		slots[(int)names[i]] = fds[i];
}

/* fix makes a descriptor a fixed file in the next slot of an io_uring. */
static void
fix(const char *step, int fd)
{
	static int next;
	int *ring = &slots['r'];
	uint32_t params[30]; /* struct io_uring_params */
	struct {
		uint32_t offset, resv;
		uint64_t fds;
	} update = {(uint32_t)next, 0, (uintptr_t)&fd};
	const int free_slots[4] = {-1, -1, -1, -1};

	memset(params, 0, sizeof(params));
	if (next++ == 0) {
		*ring = (int)syscall(io_uring_setup, 1, params);
		check(*ring >= 0 &&
			syscall(io_uring_register, *ring, register_files, free_slots, 4) == 0,
		    step);
	}
	check(syscall(io_uring_register, *ring, register_files_update, &update, 1) == 1, step);
}

static void *
wait_forever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void perform(char **steps);

static void *
perform_after(void *steps)
{
	char stat[256];

	do { /* until the first thread is a zombie */
		FILE *f = fopen("/proc/self/stat", "r");

		check(f != NULL && fgets(stat, sizeof(stat), f) != NULL, "other");
		(void)fclose(f);
	} while (strstr(stat, ") Z ") == NULL);
	perform(steps);
	return NULL;
}

/* NOLINTBEGIN(misc-no-recursion): a block of steps can contain another block. */

/* block performs the steps up to "end" in a child, and returns the steps after them. */
static char **
block(char **steps, unsigned long flags)
{
#ifdef __s390x__ /* the stack is the first argument */
	pid_t child = (pid_t)syscall(SYS_clone, 0UL, flags | SIGCHLD, 0UL, 0UL, 0UL);
#else
	pid_t child = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0UL, 0UL, 0UL, 0UL);
#endif
	char **end = steps;

	check(child >= 0, "fork");
	while (*end != NULL && strcmp(*end, "end") != 0)
		end++;
	if (child == 0) {
		*end = NULL;
		perform(steps);
	}
	check(waitpid(child, NULL, 0) == child, "fork");
	return *end == NULL ? end : end + 1;
}

static void
perform(char **steps)
{
	while (*steps != NULL) {
		char *step = *steps++;
		char *colon = strchr(step, ':');
		const char *first = "";
		const char *second = "";
		int *slot = &slots[0];
		pthread_t thread;

		if (colon != NULL) {
			*colon = 0;
			first = colon + 1;
			slot = &slots[(int)*first & 127];
			colon = strchr(first, ':');
			if (colon != NULL)
				second = colon + 1;
		}
		if (strcmp(step, "open") == 0) {
			check((*slot = open(second, O_RDONLY | O_CLOEXEC)) >= 0, step);
		} else if (strcmp(step, "write") == 0) {
			check((*slot = open(second, O_WRONLY | O_CLOEXEC)) >= 0, step);
		} else if (strcmp(step, "unlink") == 0) {
			check(unlink(first) == 0, step);
		} else if (strcmp(step, "eventfd") == 0) {
			check((*slot = eventfd(0, EFD_CLOEXEC)) >= 0, step);
		} else if (strcmp(step, "close") == 0) {
			check(close(*slot) == 0, step);
		} else if (strcmp(step, "dup") == 0) {
			check(dup2(*slot, parse_int(second)) >= 0, step);
		} else if (strcmp(step, "move") == 0) {
			check(dup2(*slot, parse_int(second)) >= 0 && close(*slot) == 0, step);
			*slot = parse_int(second);
		} else if (strcmp(step, "ring") == 0) {
			fix(step, *slot);
		} else if (strcmp(step, "fork") == 0) {
			steps = block(steps, 0);
		} else if (strcmp(step, "share") == 0) {
			steps = block(steps, CLONE_FILES);
		} else if (strcmp(step, "unshare") == 0) {
			check(unshare(CLONE_FILES) == 0, step);
		} else if (strcmp(step, "threads") == 0) {
			for (int i = 1; i < parse_int(first); i++)
				check(pthread_create(&thread, NULL, wait_forever, NULL) == 0, step);
		} else if (strcmp(step, "other") == 0) {
			check(pthread_create(&thread, NULL, perform_after, steps) == 0, step);
			syscall(SYS_exit, 0);
		} else if (strcmp(step, "hide") == 0) {
			check(prctl(PR_SET_DUMPABLE, 0) == 0, step);
		} else if (strcmp(step, "exec") == 0) {
			list();
			execl("/bin/true", "true", (char *)NULL);
			check(0, step);
		} else if (strcmp(step, "kill") == 0) {
			list();
			kill(getpid(), SIGKILL);
		} else if (strcmp(step, "quit") == 0) {
			_exit(0);
		} else {
			transfer(step, first);
		}
	}
	list();
	_exit(0); /* which is exit_group(2) */
}

/* NOLINTEND(misc-no-recursion) */

int
main(int argc, char **argv)
{
	struct rlimit limit;

	check(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	check(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
	check(argc > 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0,
	    "socketpair");
	perform(argv + 1);
}
