#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *skipped;
static const char *lacks = "";
static int broken; /* failed checks of the running case */
static int failed; /* failed cases */
static int cases;

void
check_eq(const char *file, int line, const char *what, long long got, long long want)
{
	if (got == want)
		return;
	printf("# %s:%d: %s is %lld, want %lld\n", file, line, what, got, want);
	broken++;
}

void
check_true(const char *file, int line, const char *what, int holds)
{
	if (holds)
		return;
	printf("# %s:%d: false: %s\n", file, line, what);
	broken++;
}

void
check_need(const char *file, int line, const char *what, int holds)
{
	if (holds)
		return;
	printf("# %s:%d: cannot continue: %s: %s\n", file, line, what, strerror(errno));
	exit(1);
}

static void
finish(const char *name, const char *type, int before)
{
	int after = open_count();

	if (after != before) {
		printf("# %s%s: %d descriptors open before, %d after\n", name, type, before, after);
		broken++;
	}
	cases++;
	if (broken > 0) {
		failed++;
		printf("not ok %d - %s%s\n", cases, name, type);
	} else if (skipped != NULL) {
		printf("ok %d - %s%s # SKIP %s%s\n", cases, name, type, lacks, skipped);
	} else {
		printf("ok %d - %s%s\n", cases, name, type);
	}
	broken = 0;
	skipped = NULL;
	lacks = "";
	/* Flush now, or a child would print the buffer a second time. */
	(void)fflush(stdout);
}

void
check_run(const char *name, void (*test)(void))
{
	int before = open_count();

	test();
	finish(name, "", before);
}

void
check_run_types(const char *types, const char *name, void (*test)(int type))
{
	static const struct {
		char letter;
		int type;
		const char *name;
	} all[] = {
	    {'S', SOCK_STREAM, "/stream"},
	    {'D', SOCK_DGRAM, "/dgram"},
	    {'Q', SOCK_SEQPACKET, "/seqpacket"},
	};
	size_t i;
#ifndef __linux__
	int sv[2];
#endif

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int before;

		if (strchr(types, all[i].letter) == NULL)
			continue;
		before = open_count();
#ifndef __linux__
		if (socketpair(AF_UNIX, all[i].type, 0, sv) < 0) {
			NEED(errno == EPROTONOSUPPORT);
			check_skip("no sockets of this type");
			finish(name, all[i].name, before);
			continue;
		}
		NEED(close(sv[0]) == 0 && close(sv[1]) == 0);
#endif
		test(all[i].type);
		finish(name, all[i].name, before);
	}
}

void
check_skip(const char *why)
{
	skipped = why;
}

void
check_missing(const char *what)
{
	const char *ci = getenv("CI");

	if (ci != NULL && strcmp(ci, "true") == 0) {
		printf("# missing: %s, and CI=true\n", what);
		broken++;
	}
	lacks = "missing: ";
	skipped = what;
}

int
check_status(void)
{
	printf("1..%d\n", cases);
	return failed > 0;
}

int
open_count(void)
{
	int n = 0;
#ifdef __linux__
	DIR *dir = opendir("/proc/self/fd");

	NEED(dir != NULL);
	while (readdir(dir) != NULL)
		n++;
	NEED(closedir(dir) == 0);
	return n - 3; /* ".", ".." and the directory itself */
#else
	int fd;

	for (fd = 0; fd < 1024; fd++) /* more than the tests open */
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
#endif
}
