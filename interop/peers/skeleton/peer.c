/*
 * A peer for scm interop: it reads commands on standard input and answers on
 * standard output. Call your library in library_send and library_recv.
 *
 *     cc -o peer peer.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define MOST_BYTES (8 << 20)
#define MOST_HEXADECIMAL 4096
#define MOST_FDS 253
#define UNSUPPORTED (-2)

/* Sends the bytes and the descriptors. Returns what the library reports, -1 and errno, or
 * UNSUPPORTED. */
static ssize_t
library_send(int sock, const unsigned char *payload, size_t bytes, const int *fds, size_t nfds)
{
	(void)sock, (void)payload, (void)bytes, (void)fds, (void)nfds;
	return UNSUPPORTED;
}

/* Receives at most bytes bytes and *nfds descriptors, and sets *nfds to how many there were. */
static ssize_t
library_recv(int sock, unsigned char *payload, size_t bytes, int *fds, size_t *nfds)
{
	(void)sock;
	memset(payload, 0, bytes);
	*fds = -1;
	*nfds = 0;
	return UNSUPPORTED;
}

static int held[32 * MOST_FDS]; /* the socket of the case, its files, and what was received */
static size_t nheld;

/* Returns whether the text is a number as it would be printed, 0 to most. */
static int
number(const char *text, size_t most, size_t *n)
{
	char *end;

	if (*text < '0' || *text > '9' || (*text == '0' && text[1] != '\0') || strlen(text) > 9)
		return 0;
	*n = strtoul(text, &end, 10);
	return *end == '\0' && *n <= most;
}

/* Returns how many numbers there are in N,N,… or -, and -1 for another text. */
static int
numbers(char *text, int *list)
{
	int n = 0;

	if (strcmp(text, "-") == 0)
		return 0;
	for (char *word; (word = strsep(&text, ",")) != NULL; n++) {
		int sign = *word == '-' ? -1 : 1;
		size_t value;

		if (n == MOST_FDS || !number(word + (sign < 0), 1 << 20, &value))
			return -1;
		list[n] = sign * (int)value;
	}
	return n;
}

/* The byte of the pattern that @N stands for. */
static unsigned char
pattern(size_t i)
{
	return (unsigned char)(i % 251);
}

/* Returns how many bytes there are in hexadecimal, @N or -, and -1 for another text. */
static int
bytes_of(const char *text, size_t at, unsigned char *payload)
{
	size_t length;
	int n = 0;

	if (strcmp(text, "-") == 0)
		return 0;
	if (*text == '@') {
		if (!number(text + 1, MOST_BYTES, &length))
			return -1;
		for (size_t i = 0; i < length; i++)
			payload[i] = pattern(at + i);
		return (int)length;
	}
	for (; *text != '\0'; text += 2) {
		char pair[3] = {text[0], text[1], '\0'};

		if (n == MOST_HEXADECIMAL || strspn(pair, "0123456789abcdef") != 2)
			return -1;
		payload[n++] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return n;
}

static void
end_of_case(void)
{
	while (nheld > 0)
		(void)close(held[--nheld]);
}

/* Closes these, if all of them are held. */
static int
close_some(const int *fds, int n)
{
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < n; i++) {
			size_t at = 0;

			while (at < nheld && held[at] != fds[i])
				at++;
			if (at == nheld)
				return 0;
			if (pass == 1) {
				(void)close(fds[i]);
				held[at] = held[--nheld];
			}
		}
	}
	return 1;
}

/* Answers what both library calls have in common, and returns 0 for what is not supported. */
static int
answer_failed(ssize_t n)
{
	if (n == UNSUPPORTED)
		return 0;
	printf("err %d\n", errno);
	return 1;
}

static int
answer_send(const unsigned char *payload, size_t bytes, const int *fds, size_t nfds)
{
	ssize_t n = library_send(held[0], payload, bytes, fds, nfds);

	if (n < 0)
		return answer_failed(n);
	printf("ok n=%zd\n", n);
	return 1;
}

static void
show(const unsigned char *payload, size_t n, size_t at)
{
	size_t same = 0;

	if (n > MOST_HEXADECIMAL) {
		while (same < n && payload[same] == pattern(at + same))
			same++;
		printf(same == n ? "@%zu" : "!%zu", same);
	} else if (n == 0) {
		printf("-");
	} else {
		for (size_t i = 0; i < n; i++)
			printf("%02x", payload[i]);
	}
}

static int
answer_recv(size_t bytes, size_t room, size_t at)
{
	static unsigned char payload[MOST_BYTES];
	static int fds[MOST_FDS];
	ssize_t n = library_recv(held[0], payload, bytes, fds, &room);

	if (n < 0)
		return answer_failed(n);
	printf("ok n=%zd payload=", n);
	show(payload, (size_t)n, at);
	printf(" fds=%s", room == 0 ? "-" : "");
	for (size_t i = 0; i < room; i++) {
		printf(i == 0 ? "%d" : ",%d", fds[i]);
		held[nheld++] = fds[i];
	}
	puts("");
	return 1;
}

static char *fields[5]; /* KEY=VALUE of the command; a field that was taken is NULL */

/* Takes the value of a field, or returns NULL. */
static char *
take(const char *key)
{
	size_t length = strlen(key);

	for (size_t i = 0; i < 5; i++) {
		char *field = fields[i];

		if (field != NULL && strncmp(field, key, length) == 0 && field[length] == '=') {
			fields[i] = NULL;
			return field + length + 1;
		}
	}
	return NULL;
}

/* Returns 0 for what is not supported. */
static int
answer(const char *verb)
{
	static unsigned char payload[MOST_BYTES];
	static int list[MOST_FDS];
	char *sock = take("sock"), *fds = take("fds"), *text = take("payload"),
	     *bytes = take("bytes"), *from = take("at");
	size_t most, room, at = 0;
	int n = 0, length;

	for (size_t i = 0; i < 5; i++)
		if (fields[i] != NULL)
			return 0;
	if (from != NULL && !number(from, INT_MAX, &at))
		return 0;
	if (strcmp(verb, "hello") == 0) {
		puts("ok name=mine lang=c version=0 can=stream,dgram,seqpacket,multi");
	} else if (strcmp(verb, "use") == 0 && sock != NULL && number(sock, INT_MAX, &room)) {
		if (fds != NULL && (n = numbers(fds, list)) < 0)
			return 0;
		end_of_case();
		held[nheld++] = (int)room;
		for (int i = 0; i < n; i++)
			held[nheld++] = list[i];
		puts("ok");
	} else if (strcmp(verb, "send") == 0 && text != NULL && fds != NULL) {
		if ((length = bytes_of(text, at, payload)) < 0 || (n = numbers(fds, list)) < 0)
			return 0;
		return answer_send(payload, (size_t)length, list, (size_t)n);
	} else if (strcmp(verb, "recv") == 0 && bytes != NULL && fds != NULL) {
		if (!number(bytes, MOST_BYTES, &most) || !number(fds, MOST_FDS, &room))
			return 0;
		return answer_recv(most, room, at);
	} else if (strcmp(verb, "close") == 0 && fds != NULL) {
		if ((n = numbers(fds, list)) < 0 || !close_some(list, n))
			return 0;
		puts("ok");
	} else if (strcmp(verb, "end") == 0) {
		end_of_case();
		puts("ok");
	} else {
		return 0;
	}
	return 1;
}

int
main(void)
{
	static char line[16385];

	(void)signal(SIGPIPE, SIG_IGN);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		const char *verb = strtok(line, " \n");

		for (size_t i = 0; i < 5; i++)
			fields[i] = strtok(NULL, " \n");
		if (verb == NULL || !answer(verb))
			puts("unsupported");
		if (fflush(stdout) != 0)
			return 1;
	}
	return 0;
}
