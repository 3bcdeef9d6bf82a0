#include "words.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PERIOD 251              /* length of the pattern */
#define HEX_MAX 4096            /* longer payloads are printed as the pattern */
#define PAYLOAD_MAX (64L << 20) /* a wrong digit must not exhaust memory */

struct flag {
	const char *name;
	int bit;
};

static const struct flag send_flags[] = {
    {"dontwait", MSG_DONTWAIT},
    {"nosignal", MSG_NOSIGNAL},
    {"eor", MSG_EOR},
    {"oob", MSG_OOB},
    {"more", MSG_MORE},
    {NULL, 0},
};

static const struct flag recv_flags[] = {
    {"dontwait", MSG_DONTWAIT},
    {"peek", MSG_PEEK},
    {"trunc", MSG_TRUNC},
    {"waitall", MSG_WAITALL},
    {"oob", MSG_OOB},
    {NULL, 0},
};

static const struct flag told_flags[] = {
    {"ctrunc", MSG_CTRUNC},
    {"trunc", MSG_TRUNC},
    {"eor", MSG_EOR},
    {"oob", MSG_OOB},
    {NULL, 0},
};

void *
allocate(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size);

	if (p == NULL) {
		perror("peer");
		exit(1);
	}
	return p;
}

/* Accepts an integer only as printf writes it, without blanks, plus sign or leading zeros. */
bool
word_integer(const char *word, long least, long most, long *number)
{
	char again[32];
	char *end;

	errno = 0;
	*number = strtol(word, &end, 10);
	if (errno != 0 || *number < least || *number > most)
		return false;
	(void)snprintf(again, sizeof(again), "%ld", *number);
	return strcmp(word, again) == 0;
}

/* Returns the number of words in a list. */
static size_t
list_length(const char *list)
{
	size_t n = 1;

	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/* Cuts the next word off a list, or returns NULL at the end of the list. */
static char *
next_word(char **list)
{
	char *word = *list;
	char *comma;

	if (word == NULL)
		return NULL;
	comma = strchr(word, ',');
	if (comma != NULL)
		*comma++ = '\0';
	*list = comma;
	return word;
}

bool
word_fds(char *word, long least, int **fds, size_t *nfds)
{
	bool none = strcmp(word, "-") == 0;
	long number;

	*fds = allocate(list_length(word), sizeof(**fds));
	*nfds = 0;
	while (!none && word != NULL) {
		if (!word_integer(next_word(&word), least, INT_MAX, &number))
			return false;
		(*fds)[(*nfds)++] = (int)number;
	}
	return true;
}

/* Returns byte i of a payload that begins at byte at of the pattern. */
static unsigned char
pattern(long at, size_t i)
{
	return (unsigned char)(((size_t)(at % PERIOD) + i) % PERIOD);
}

static const char hex_digits[] = "0123456789abcdef";

/* Returns the value of two hexadecimal digits. */
static unsigned char
hex_byte(const char *two)
{
	const char *high = strchr(hex_digits, two[0]);
	const char *low = strchr(hex_digits, two[1]);

	return (unsigned char)((high - hex_digits) * 16 + (low - hex_digits));
}

/* Returns the number of bytes in the payload that the word describes, or -1. */
static long
payload_length(const char *word)
{
	size_t digits = strlen(word);
	long n;

	if (strcmp(word, "-") == 0)
		return 0;
	if (word[0] == '@')
		return word_integer(word + 1, 1, PAYLOAD_MAX, &n) ? n : -1;
	if (digits == 0 || digits % 2 != 0 || strspn(word, hex_digits) != digits)
		return -1;
	return (long)(digits / 2);
}

/* The pattern continues from one buffer to the next, as the receiver sees it. */
bool
word_payload(char *word, long at, struct iovec **iov, size_t *iovlen)
{
	size_t total = 0;

	*iov = allocate(list_length(word), sizeof(**iov));
	*iovlen = 0;
	while (word != NULL) {
		const char *text = next_word(&word);
		long length = payload_length(text);
		unsigned char *bytes;
		size_t i;

		if (length < 0 || (long)total + length > PAYLOAD_MAX)
			return false;
		bytes = allocate((size_t)length, 1);
		for (i = 0; i < (size_t)length; i++)
			bytes[i] = text[0] == '@' ? pattern(at, total + i) : hex_byte(&text[2 * i]);
		(*iov)[*iovlen].iov_base = bytes;
		(*iov)[(*iovlen)++].iov_len = (size_t)length;
		total += (size_t)length;
	}
	return true;
}

bool
word_room(char *word, struct iovec **iov, size_t *iovlen)
{
	long total = 0;
	long length;

	*iov = allocate(list_length(word), sizeof(**iov));
	*iovlen = 0;
	while (word != NULL) {
		if (!word_integer(next_word(&word), 0, PAYLOAD_MAX - total, &length))
			return false;
		(*iov)[*iovlen].iov_base = allocate((size_t)length, 1);
		(*iov)[(*iovlen)++].iov_len = (size_t)length;
		total += length;
	}
	return true;
}

static bool
word_flags(char *word, const struct flag *known, int *flags)
{
	*flags = 0;
	if (strcmp(word, "-") == 0)
		return true;
	while (word != NULL) {
		const char *name = next_word(&word);
		const struct flag *f;

		for (f = known; f->name != NULL && strcmp(f->name, name) != 0; f++)
			;
		if (f->name == NULL)
			return false;
		*flags |= f->bit;
	}
	return true;
}

bool
word_send_flags(char *word, int *flags)
{
	return word_flags(word, send_flags, flags);
}

bool
word_recv_flags(char *word, int *flags)
{
	return word_flags(word, recv_flags, flags);
}

/* Prints the first n bytes of the buffers. With MSG_TRUNC n can exceed their size. */
void
print_payload(const struct message *m, size_t n, long at)
{
	size_t room = 0;
	size_t done = 0;
	size_t i;

	for (i = 0; i < m->iovlen; i++)
		room += m->iov[i].iov_len;
	if (n > room)
		n = room;
	if (n == 0)
		printf("-");
	for (i = 0; i < m->iovlen && done < n; i++) {
		const unsigned char *bytes = m->iov[i].iov_base;
		size_t k;

		for (k = 0; k < m->iov[i].iov_len && done < n; k++, done++) {
			if (n <= HEX_MAX) {
				printf("%02x", bytes[k]);
			} else if (bytes[k] != pattern(at, done)) {
				printf("!%zu", done);
				return;
			}
		}
	}
	if (n > HEX_MAX)
		printf("@%zu", n);
}

void
print_fds(const struct message *m)
{
	const char *comma = "";
	size_t i;

	for (i = 0; i < m->nfds; i++, comma = ",")
		printf("%s%d", comma, m->fds[i]);
	if (m->closed > 0)
		printf("%sclosed:%d", comma, m->closed);
	else if (m->closed == CLOSED_SOME)
		printf("%sclosed", comma);
	else if (m->nfds == 0)
		printf("-");
}

void
print_flags(int flags)
{
	const char *comma = "";
	const struct flag *f;

#ifdef MSG_CMSG_CLOEXEC
	flags &= ~MSG_CMSG_CLOEXEC;
#endif
	if (flags == 0)
		printf("-");
	for (f = told_flags; f->name != NULL; f++) {
		if ((flags & f->bit) == 0)
			continue;
		printf("%s%s", comma, f->name);
		comma = ",";
		flags &= ~f->bit;
	}
	if (flags != 0)
		printf("%s0x%x", comma, (unsigned)flags);
}
