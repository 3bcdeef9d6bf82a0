/*
 * A peer for scm interop: it reads commands on standard input and answers on
 * standard output. Call your library in library_send and library_recv.
 *
 *     cc -o peer peer.c
 *     ./peer
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define MAX_LINE (16 << 10)
#define MAX_PAYLOAD (64 << 20)
#define MAX_FDS 65535
#define UNSUPPORTED (-2)
#define NO_FLAGS (-1)

#ifndef PEER /* in the repository, buffers.c defines it, and has functions of its own */
#define OPTIONAL (1 << AT)
#define close_fd close
#define begun(sock) (void)(sock)

/* Use your library's name and version. Expected failures can depend on the version.
 * In can=, multi promises several descriptors in a message, iov several buffers, and flags
 * calls with flags of the caller's choice, rather than the flags that a receive reports.
 * If the library waits in an event loop, add polls=yes. */
static const char *hello = "name=mine version=0 can=stream,dgram,seqpacket,multi";

/* Sends the bytes and the descriptors. Returns the count that the library reports. If the library
 * fails, returns -1 with errno set, or with errno 0 for an error of the library's own. If the
 * library has no interface for the command, returns UNSUPPORTED. */
static ssize_t
library_send(int sock, const unsigned char *payload, size_t bytes, const int *fds, size_t nfds)
{
	(void)sock, (void)payload, (void)bytes, (void)fds, (void)nfds;
	return UNSUPPORTED;
}

/* Receives at most bytes bytes and *nfds descriptors. Sets *nfds to the number of descriptors, and
 * *flags to msg_flags, or to NO_FLAGS if the library reports no flags. Returns what library_send
 * does. */
static ssize_t
library_recv(int sock, unsigned char *payload, size_t bytes, int *fds, size_t *nfds, int *flags)
{
	(void)sock;
	memset(payload, 0, bytes);
	*fds = -1;
	*nfds = 0;
	*flags = NO_FLAGS;
	return UNSUPPORTED;
}
#endif

static unsigned char buffer[MAX_PAYLOAD + MAX_LINE];
static int list[MAX_FDS];

static int case_sock = -1;
static int *held; /* the socket of the case, its files, and the descriptors received */
static size_t nheld;

/* Returns the index of the descriptor in held, or nheld. */
static size_t
find(int fd)
{
	size_t i = 0;

	while (i < nheld && held[i] != fd)
		i++;
	return i;
}

static void
hold(int fd)
{
	if (find(fd) < nheld)
		return;
	held = realloc(held, (nheld + 1) * sizeof(*held));
	if (held == NULL)
		exit(1);
	held[nheld++] = fd;
}

static void
release(int fd)
{
	size_t i = find(fd);

	if (i == nheld)
		return; /* it is in a list twice */
	held[i] = held[--nheld];
	(void)close_fd(fd);
}

static void
end_case(void)
{
	while (nheld > 0)
		release(held[nheld - 1]);
}

/* Closes the descriptors if all of them are held, and otherwise returns 0. */
static int
close_some(size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (find(list[i]) == nheld)
			return 0;
	for (size_t i = 0; i < n; i++)
		release(list[i]);
	return 1;
}

/* Returns whether the text is an integer in range, written as it would be printed. */
static int
integer(const char *text, long least, long most, long *n)
{
	char printed[24];

	*n = strtol(text, NULL, 10);
	(void)snprintf(printed, sizeof(printed), "%ld", *n);
	return strcmp(printed, text) == 0 && *n >= least && *n <= most;
}

/* Reads N,N,… or - into list. Returns 0 for any other text. */
static int
integers(char *text, long least, size_t *n)
{
	long value;

	*n = 0;
	if (strcmp(text, "-") == 0)
		return 1;
	for (char *word; (word = strsep(&text, ",")) != NULL; list[(*n)++] = (int)value)
		if (*n == MAX_FDS || !integer(word, least, INT_MAX, &value))
			return 0;
	return 1;
}

#define PATTERN(i) (unsigned char)((i) % 251) /* one byte of the payload @N */

/* Reads hexadecimal bytes, @N or - into a part of buffer. Returns 0 for any other text. */
static int
payload_of(const char *text, size_t at, unsigned char *to, size_t *n)
{
	long length;

	*n = 0;
	if (strcmp(text, "-") == 0)
		return 1;
	if (*text == '@') {
		if (!integer(text + 1, 1, buffer + MAX_PAYLOAD - to, &length))
			return 0;
		for (; *n < (size_t)length; (*n)++)
			to[*n] = PATTERN(at + *n);
		return 1;
	}
	for (; *text != '\0'; text += 2) {
		char pair[3] = {text[0], text[1], '\0'};

		if (strspn(pair, "0123456789abcdef") != 2)
			return 0;
		to[(*n)++] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return *n > 0;
}

/* Answers a failed call, or returns 0 if it is not supported. */
static int
answer_failure(ssize_t n)
{
	if (n == UNSUPPORTED)
		return 0;
	return (errno == 0 ? puts("err lib") : printf("err %d\n", errno)) > 0;
}

static void
show(size_t n, size_t at)
{
	size_t same = 0;

	if (n > 4096) {
		while (same < n && buffer[same] == PATTERN(at + same))
			same++;
		printf(same == n ? "@%zu" : "!%zu", same);
	} else if (n == 0) {
		printf("-");
	} else {
		for (size_t i = 0; i < n; i++)
			printf("%02x", buffer[i]);
	}
}

static void
show_flags(int flags)
{
	static const struct {
		int bit;
		const char *name;
	} known[] = {{0x1, "oob"}, {0x8, "ctrunc"}, {0x20, "trunc"}, {0x80, "eor"}};
	unsigned rest = (unsigned)flags & ~0x40000000U; /* MSG_CMSG_CLOEXEC is not reported */
	const char *comma = "";

	printf(" flags=%s", rest == 0 ? "-" : "");
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if ((flags & known[i].bit) == 0)
			continue;
		printf("%s%s", comma, known[i].name);
		rest &= ~(unsigned)known[i].bit;
		comma = ",";
	}
	if (rest != 0)
		printf("%s%#x", comma, rest);
}

enum { SOCK, FDS, PAYLOAD, BYTES, AT, FLAGS, NFIELDS };
static const char *const keys[NFIELDS] = {"sock=", "fds=", "payload=", "bytes=", "at=", "flags="};

/* Splits KEY=VALUE… into the values of the keys. Returns the set of the keys found, as
 * bits, or -1 for an unknown key or one that occurs twice. */
static int
split(char *text, char **values)
{
	int set = 0;

	for (char *word; (word = strsep(&text, " ")) != NULL;) {
		int key = 0;

		while (key < NFIELDS && strncmp(word, keys[key], strlen(keys[key])) != 0)
			key++;
		if (key == NFIELDS || (set & 1 << key) != 0)
			return -1;
		set |= 1 << key;
		values[key] = word + strlen(keys[key]);
	}
	return set;
}

static int
use(const char *sock, char *fds)
{
	size_t n = 0;
	long value;

	if (!integer(sock, 0, INT_MAX, &value) || (fds != NULL && !integers(fds, 0, &n)))
		return 0;
	end_case();
	case_sock = (int)value;
	hold(case_sock);
	for (size_t i = 0; i < n; i++)
		hold(list[i]);
	begun(case_sock);
	puts("ok");
	return 1;
}

#ifndef PEER
static int
answer_send(char **values, size_t at)
{
	size_t bytes, nfds;
	ssize_t n;

	if (!payload_of(values[PAYLOAD], at, buffer, &bytes) ||
	    !integers(values[FDS], INT_MIN, &nfds))
		return 0;
	errno = 0;
	n = library_send(case_sock, buffer, bytes, list, nfds);
	return n < 0 ? answer_failure(n) : printf("ok n=%zd\n", n) > 0;
}

static int
answer_recv(char **values, size_t at)
{
	int flags = NO_FLAGS;
	size_t nfds;
	ssize_t n;
	long most, room;

	if (!integer(values[BYTES], 0, MAX_PAYLOAD, &most) ||
	    !integer(values[FDS], 0, MAX_FDS, &room))
		return 0;
	errno = 0;
	nfds = (size_t)room;
	n = library_recv(case_sock, buffer, (size_t)most, list, &nfds, &flags);
	if (n < 0)
		return answer_failure(n);
	printf("ok n=%zd payload=", n);
	show((size_t)(n < most ? n : most), at);
	printf(" fds=%s", nfds == 0 ? "-" : "");
	for (size_t i = 0; i < nfds; i++) {
		printf(i == 0 ? "%d" : ",%d", list[i]);
		hold(list[i]);
	}
	if (flags != NO_FLAGS)
		show_flags(flags);
	puts("");
	return 1;
}
#endif

/* Answers the command, or returns 0 if it is not supported. */
static int
answer(char *line)
{
	char *values[NFIELDS] = {NULL}, *verb = strsep(&line, " ");
	int set = split(line, values);
	size_t nfds;
	long at = 0;

	if (values[AT] != NULL && !integer(values[AT], 0, INT_MAX, &at))
		return 0;
	if (strcmp(verb, "send") == 0 && (set & ~OPTIONAL) == (1 << PAYLOAD | 1 << FDS))
		return find(case_sock) < nheld && answer_send(values, (size_t)at);
	if (strcmp(verb, "recv") == 0 && (set & ~OPTIONAL) == (1 << BYTES | 1 << FDS))
		return find(case_sock) < nheld && answer_recv(values, (size_t)at);
	if (strcmp(verb, "use") == 0 && (set & ~(1 << FDS)) == 1 << SOCK)
		return use(values[SOCK], values[FDS]);
	if (strcmp(verb, "hello") == 0 && set == 0)
		return printf("ok lang=c %s\n", hello) > 0;
	if (strcmp(verb, "end") == 0 && set == 0)
		end_case();
	else if (strcmp(verb, "close") != 0 || set != 1 << FDS ||
	    !integers(values[FDS], 0, &nfds) || !close_some(nfds))
		return 0;
	puts("ok");
	return 1;
}

int
main(void)
{
	static char line[MAX_LINE + 2];

	(void)signal(SIGPIPE, SIG_IGN);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (!answer(line))
			puts("unsupported");
		if (fflush(stdout) != 0)
			return 1;
	}
	return 0;
}
