/* The stack size stated in scm_rights.h is enough. */
#include "check.h"
#include "raw.h"

#include "scm_rights.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif

#define NEEDED ((size_t)6 << 10) /* stated in scm_rights.h */

static int sv[2];

/* Round size up to whole pages. */
static size_t
pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

/* Return the size of the smallest guard area that compilers rely on. */
static size_t
guard_size(void)
{
#ifdef __aarch64__
	return pages((size_t)64 << 10);
#else
	return pages(1);
#endif
}

static int
cannot(void)
{
	if (getenv("UNDER_VALGRIND") != NULL) {
		check_skip("valgrind uses its own stacks");
		return 1;
	}
#if !defined(PROBED)
	check_skip("sanitizers use more stack");
	return 1;
#elif !PROBED
	check_missing("a compiler with -fstack-clash-protection");
	return 1;
#elif !defined(__x86_64__) && !defined(__i386__) && !defined(__aarch64__) && \
    !defined(__s390x__) && !defined(__powerpc64__)
	check_skip("compilers do not probe every page on this architecture");
	return 1;
#else
	return 0;
#endif
}

#ifdef __linux__
static struct scm_message message;
static char byte = 'x';
static struct iovec one_byte = {&byte, 1};
static int room[1];
static void (*called)(void);

static void
call_write_fd(void)
{
	if (write_fd(sv[0], &byte, 1, sv[0]) != 1)
		_exit(2);
}

static void
call_read_fd(void)
{
	if (read_fd(sv[1], &byte, 1, room) != 1 || room[0] < 0)
		_exit(2);
}

static void
call_send(void)
{
	if (scm_rights_send(sv[0], &message, 0) != 1)
		_exit(2);
}

static void
call_recv(void)
{
	if (scm_rights_recv(sv[1], &message, 0) != 1 || message.nfds != 1)
		_exit(2);
}

static void
handler(int signo)
{
	(void)signo;
	called();
	_exit(0);
}

/* Return the space that the kernel itself needs on a handler's stack. glibc's MINSIGSTKSZ is
 * larger. */
static size_t
frame_size(void)
{
	const unsigned long at_minsigstksz = 51;
	size_t size = getauxval(at_minsigstksz);

	return size > 0 ? size : (size_t)MINSIGSTKSZ;
}

/*
 * Call a function from a handler on a separate stack with a guard below it. It is the first call
 * in the process, so the dynamic linker has to look up the functions it uses.
 */
static void
in_handler(void (*call)(void))
{
	size_t guard = guard_size();
	size_t size = frame_size() + NEEDED;
	unsigned char *area;
	int status = -1;
	pid_t child;

	area = mmap(NULL, guard + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(area != MAP_FAILED);
	NEED(mprotect(area, guard, PROT_NONE) == 0);
	raw_pair(SOCK_SEQPACKET, sv);
	CHECK_EQ(raw_send(sv[0], 1, 1, sv), 1);
	memset(&message, 0, sizeof(message));
	message.iov = &one_byte;
	message.iovlen = 1;
	message.fds = room;
	message.nfds = 1;
	room[0] = sv[0];
	called = call;
	child = fork();
	NEED(child >= 0);
	if (child == 0) {
		struct sigaction action;
		stack_t stack;

		memset(&stack, 0, sizeof(stack));
		stack.ss_sp = area + guard;
		stack.ss_size = size;
		memset(&action, 0, sizeof(action));
		action.sa_handler = handler;
		action.sa_flags = SA_ONSTACK;
		if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGUSR1, &action, NULL) != 0)
			_exit(4);
		(void)raise(SIGUSR1);
		_exit(5);
	}
	NEED(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	raw_close(2, sv);
	CHECK_EQ(munmap(area, guard + size), 0);
}
#endif

static void
enough(void)
{
	if (cannot())
		return;
#ifdef __linux__
	in_handler(call_write_fd);
	in_handler(call_read_fd);
	in_handler(call_send);
	in_handler(call_recv);
#else
	check_skip("the size of a signal frame is not known");
#endif
}

int
main(void)
{
	check_run("stack", enough);
	return check_status();
}
