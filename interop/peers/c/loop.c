#include "peer.h"
#include "words.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELDS 8 /* more than any command has */

struct field {
	const char *key; /* NULL after take */
	char *value;
};

struct fields {
	struct field list[FIELDS];
	size_t n;
};

static const struct peer *peer;

/* The case: its socket, and every descriptor that was given or received and is still open. */
static int sock = -1;
static int *held;
static size_t nheld;

static char nothing[] = "-";
static const char zero[] = "0";

/* Returns the value of a field and marks the field as known, or returns NULL if it is absent. */
static char *
take(struct fields *f, const char *key)
{
	size_t i;

	for (i = 0; i < f->n; i++) {
		if (f->list[i].key != NULL && strcmp(f->list[i].key, key) == 0) {
			f->list[i].key = NULL;
			return f->list[i].value;
		}
	}
	return NULL;
}

static bool
all_taken(const struct fields *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (f->list[i].key != NULL)
			return false;
	return true;
}

/* Splits the text after the verb into fields. */
static bool
parse(char *rest, struct fields *f)
{
	size_t i;

	f->n = 0;
	while (rest != NULL) {
		char *word = rest;
		char *value;

		rest = strchr(word, ' ');
		if (rest != NULL)
			*rest++ = '\0';
		value = strchr(word, '=');
		if (value == NULL || f->n == FIELDS)
			return false;
		*value++ = '\0';
		for (i = 0; i < f->n; i++)
			if (strcmp(f->list[i].key, word) == 0)
				return false;
		f->list[f->n].key = word;
		f->list[f->n++].value = value;
	}
	return true;
}

static bool
is_held(int fd)
{
	size_t i;

	for (i = 0; i < nheld; i++)
		if (held[i] == fd)
			return true;
	return false;
}

static void
hold(const int *fds, size_t n)
{
	int *more = realloc(held, (nheld + n + 1) * sizeof(*held));
	size_t i;

	if (more == NULL) {
		perror("peer");
		exit(1);
	}
	held = more;
	for (i = 0; i < n; i++)
		if (fds[i] >= 0 && !is_held(fds[i]))
			held[nheld++] = fds[i];
}

static void
release(int fd)
{
	size_t i;

	for (i = 0; i < nheld; i++) {
		if (held[i] == fd) {
			held[i] = held[--nheld];
			if (peer->close != NULL)
				peer->close(fd);
			else
				(void)close(fd);
			return;
		}
	}
}

static void
end_case(void)
{
	while (nheld > 0)
		release(held[nheld - 1]);
	sock = -1;
}

static void
message_free(struct message *m)
{
	size_t i;

	for (i = 0; i < m->iovlen; i++)
		free(m->iov[i].iov_base);
	free(m->iov);
	free(m->fds);
}

#ifdef MUSL
/*
 * Expected failures of a build with musl depend on musl's version, so hello reports that one.
 * No header states it. Musl defines it under this name, which only a static program can use.
 */
extern const char __libc_version[];

static const char *
version(void)
{
	return __libc_version;
}
#else
static const char *
version(void)
{
	return peer->version;
}
#endif

/* Each of these carries out a command, or returns false if it is not supported. */

static bool
do_hello(struct fields *f)
{
	if (!all_taken(f))
		return false;
	printf("ok name=%s lang=c version=%s can=%s", peer->name, version(), peer->can);
	if (peer->room != NULL)
		printf(" room=%s", peer->room);
	if (peer->polls)
		printf(" polls=yes");
	printf("\n");
	return true;
}

static bool
do_use(struct fields *f)
{
	const char *number = take(f, "sock");
	char *list = take(f, "fds");
	size_t nfds;
	int *fds;
	long fd;
	bool ok;

	if (number == NULL || !word_integer(number, 0, INT_MAX, &fd))
		return false;
	ok = word_fds(list != NULL ? list : nothing, 0, &fds, &nfds) && all_taken(f);
	if (ok) {
		end_case();
		sock = (int)fd;
		hold(&sock, 1);
		hold(fds, nfds);
		if (peer->use != NULL)
			peer->use(sock);
		printf("ok\n");
	}
	free(fds);
	return ok;
}

static bool
do_close(struct fields *f)
{
	char *list = take(f, "fds");
	size_t nfds;
	size_t i;
	int *fds;
	bool ok;

	if (list == NULL)
		return false;
	ok = word_fds(list, 0, &fds, &nfds) && all_taken(f);
	for (i = 0; ok && i < nfds; i++)
		ok = is_held(fds[i]);
	if (ok) {
		for (i = 0; i < nfds; i++)
			release(fds[i]);
		printf("ok\n");
	}
	free(fds);
	return ok;
}

static bool
do_end(struct fields *f)
{
	if (!all_taken(f))
		return false;
	end_case();
	printf("ok\n");
	return true;
}

/* Reads the field at of send and recv, where the pattern begins. */
static bool
take_at(struct fields *f, long *at)
{
	const char *word = take(f, "at");

	return word_integer(word != NULL ? word : zero, 0, LONG_MAX, at);
}

/* Answers a send or recv that failed, or returns false if it is not supported. */
static bool
failed(ssize_t n, const struct message *m)
{
	int number = errno;

	if (n == UNSUPPORTED)
		return false;
	printf("err ");
	if (m->error != NULL)
		printf("lib %s", m->error);
	else
		print_errno(number);
	printf("\n");
	return true;
}

static bool
send_message(struct fields *f, struct message *m)
{
	char *payload = take(f, "payload");
	char *fds = take(f, "fds");
	char *flags = take(f, "flags");
	ssize_t n;
	long at;

	if (payload == NULL || fds == NULL || !take_at(f, &at) ||
	    !word_payload(payload, at, &m->iov, &m->iovlen) ||
	    !word_fds(fds, INT_MIN, &m->fds, &m->nfds) ||
	    !word_send_flags(flags != NULL ? flags : nothing, &m->flags) || !all_taken(f))
		return false;
	n = peer->send(m);
	if (n < 0)
		return failed(n, m);
	printf("ok n=%zd\n", n);
	return true;
}

static bool
recv_message(struct fields *f, struct message *m)
{
	char *bytes = take(f, "bytes");
	const char *fds = take(f, "fds");
	char *flags = take(f, "flags");
	ssize_t n;
	long room;
	long at;

	if (bytes == NULL || fds == NULL || !take_at(f, &at) ||
	    !word_room(bytes, &m->iov, &m->iovlen) || !word_integer(fds, 0, USHRT_MAX, &room) ||
	    !word_recv_flags(flags != NULL ? flags : nothing, &m->flags) || !all_taken(f))
		return false;
	m->nfds = (size_t)room;
	m->fds = allocate(m->nfds, sizeof(*m->fds));
	n = peer->recv(m);
	if (n < 0)
		return failed(n, m);
	hold(m->fds, m->nfds);
	printf("ok n=%zd payload=", n);
	print_payload(m, (size_t)n, at);
	printf(" fds=");
	print_fds(m);
	if (peer->reports_flags) {
		printf(" flags=");
		print_flags(m->flags);
	}
	if (m->eof)
		printf(" eof");
	printf("\n");
	return true;
}

static bool
do_message(struct fields *f, bool (*pass)(struct fields *, struct message *))
{
	struct message m;
	bool ok;

	if (!is_held(sock))
		return false;
	memset(&m, 0, sizeof(m));
	m.sock = sock;
	ok = pass(f, &m);
	message_free(&m);
	return ok;
}

static bool
answer(char *line)
{
	char *rest = strchr(line, ' ');
	struct fields f;

	if (rest != NULL)
		*rest++ = '\0';
	if (!parse(rest, &f))
		return false;
	if (strcmp(line, "hello") == 0)
		return do_hello(&f);
	if (strcmp(line, "use") == 0)
		return do_use(&f);
	if (strcmp(line, "send") == 0)
		return do_message(&f, send_message);
	if (strcmp(line, "recv") == 0)
		return do_message(&f, recv_message);
	if (strcmp(line, "close") == 0)
		return do_close(&f);
	if (strcmp(line, "end") == 0)
		return do_end(&f);
	return false;
}

int
peer_loop(const struct peer *p)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	peer = p;
	(void)signal(SIGPIPE, SIG_IGN);
	while ((n = getline(&line, &size, stdin)) > 0 && line[n - 1] == '\n') {
		line[n - 1] = '\0';
		/* A NUL byte would hide the rest of the line. */
		if (strlen(line) != (size_t)n - 1 || !answer(line))
			printf("unsupported\n");
		if (fflush(stdout) == EOF)
			break;
	}
	free(line);
	end_case();
	free(held);
	return 0;
}
