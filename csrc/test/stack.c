/*
 * A call on a stack that is too small stops at the guard page and writes nothing beyond it.
 * The stack size stated in scm_rights.h is enough.
 */
#include "check.h"
#include "raw.h"

#include "scm_rights.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif

#define BEYOND ((size_t)256 << 10)
#define FILL 0x5a
#define NEEDED ((size_t)6 << 10) /* stated in scm_rights.h */
#define NEEDED_BATCH ((size_t)44 << 10)

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
#if !defined(PROBED)
	check_skip("built without -fstack-clash-protection");
	return 1;
#elif !defined(__x86_64__) && !defined(__i386__) && !defined(__aarch64__) && \
    !defined(__s390x__) && !defined(__powerpc64__)
	check_skip("compilers do not probe every page on this architecture");
	return 1;
#else
	if (getenv("UNDER_VALGRIND") == NULL)
		return 0;
	check_skip("valgrind uses its own stacks");
	return 1;
#endif
}

/* Pass one message through both batch functions. Exit with 0 if it is received. */
static void *
pass(void *unused)
{
	struct scm_message m[SCM_MAX_BATCH];
	struct iovec iov;
	char byte = 'x';

	(void)unused;
	memset(m, 0, sizeof(m));
	iov.iov_base = &byte;
	iov.iov_len = 1;
	m[0].iov = &iov;
	m[0].iovlen = 1;
	if (scm_rights_send_batch(sv[0], m, 1, 0) != 1)
		_exit(2);
	if (scm_rights_recv_batch(sv[1], m, 1, MSG_DONTWAIT) != 1)
		_exit(3);
	_exit(0);
	return NULL; /* for compilers that do not know that _exit never returns */
}

/*
 * In a child, run pass on a thread with a stack of size bytes. Below the stack are a guard page
 * and memory that must not change. Return the child's wait status.
 */
static int
on_stack(size_t size)
{
	size_t guard = guard_size();
	unsigned char *area;
	int status = -1;
	size_t i;
	pid_t child;

	area = mmap(
	    NULL, BEYOND + guard + size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(area != MAP_FAILED);
	memset(area, FILL, BEYOND);
	NEED(mprotect(area + BEYOND, guard, PROT_NONE) == 0);
	raw_pair(SOCK_SEQPACKET, sv);
	child = fork();
	NEED(child >= 0);
	if (child == 0) {
		pthread_attr_t attr;
		pthread_t thread;

		if (pthread_attr_init(&attr) != 0 ||
		    pthread_attr_setstack(&attr, area + BEYOND + guard, size) != 0 ||
		    pthread_create(&thread, &attr, pass, NULL) != 0)
			_exit(4);
		(void)pthread_join(thread, NULL);
		_exit(5);
	}
	NEED(waitpid(child, &status, 0) == child);
	for (i = 0; i < BEYOND && area[i] == FILL; i++)
		continue;
	CHECK_EQ(BEYOND - i, 0);
	raw_close(2, sv);
	CHECK_EQ(munmap(area, BEYOND + guard + size), 0);
	return status;
}

/* Try every stack size that pthread_create accepts, in pages, up to one that is certainly enough.
 */
static void
guard(void)
{
	size_t size;
	int died = 0;

	if (cannot())
		return;
	for (size = pages(1); size < BEYOND / 2; size += pages(1)) {
		int status = on_stack(size);

		if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
			continue;
		if (WIFSIGNALED(status)) {
			CHECK_EQ(WTERMSIG(status), SIGSEGV);
			died++;
			continue;
		}
		CHECK_EQ(status, 0);
	}
	if (died == 0)
		check_skip("the smallest thread stack is large enough");
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
call_send_batch(void)
{
	if (scm_rights_send_batch(sv[0], &message, 1, 0) != 1)
		_exit(2);
}

static void
call_recv_batch(void)
{
	if (scm_rights_recv_batch(sv[1], &message, 1, 0) != 1 || message.nfds != 1)
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
in_handler(void (*call)(void), size_t needed)
{
	size_t guard = guard_size();
	size_t size = frame_size() + needed;
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

/* The stack size stated in scm_rights.h, plus a signal frame, is enough. */
static void
enough(void)
{
	if (cannot())
		return;
#ifdef __linux__
	in_handler(call_write_fd, NEEDED);
	in_handler(call_read_fd, NEEDED);
	in_handler(call_send, NEEDED);
	in_handler(call_recv, NEEDED);
	in_handler(call_send_batch, NEEDED_BATCH);
	in_handler(call_recv_batch, NEEDED_BATCH);
#else
	check_skip("the size of a signal frame is not known");
#endif
}

int
main(void)
{
	check_run("guard", guard);
	check_run("enough", enough);
	return check_status();
}
