/*
 * An addition to peer.c, the skeleton that scm interop new-peer prints: flags, several buffers,
 * what else a receive can report, and libraries with an object for each socket or descriptor.
 */
#include "peer.h"

#define PEER
#define OPTIONAL (1 << AT | 1 << FLAGS)
#define main serve

static char hello[256];
static void begun(int sock);
static void close_fd(int fd);
static int answer_send(char **values, size_t at);
static int answer_recv(char **values, size_t at);

#include "peer.c" /* NOLINT: the skeleton is one file */

#include <sys/socket.h>

#ifdef MUSL
/*
 * Expected failures of a build with musl depend on musl's version, so hello reports that one.
 * No header states it. Musl defines it under this name, which only a static program can use.
 */
extern const char __libc_version[];
#endif

static const struct peer *peer;
static struct iovec buffers[MAX_LINE]; /* parts of buffer */

static void
begun(int sock)
{
	if (peer->use != NULL)
		peer->use(sock);
}

static void
close_fd(int fd)
{
	if (peer->close != NULL)
		peer->close(fd);
	else
		(void)close(fd);
}

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

/* Reads a list of flags, which may be absent. Returns 0 for an unknown one. */
static int
flags_of(char *text, const struct flag *known, int *flags)
{
	*flags = 0;
	if (text == NULL || strcmp(text, "-") == 0)
		return 1;
	for (char *word; (word = strsep(&text, ",")) != NULL;) {
		const struct flag *f = known;

		while (f->name != NULL && strcmp(f->name, word) != 0)
			f++;
		if (f->name == NULL)
			return 0;
		*flags |= f->bit;
	}
	return 1;
}

/* Makes the next n bytes of buffer a buffer of the message, and returns whether it has that many.
 */
static int
append(struct message *m, unsigned char **next, size_t n)
{
	m->iov[m->iovlen++] = (struct iovec){.iov_base = *next, .iov_len = n};
	*next += n;
	return *next <= buffer + MAX_PAYLOAD;
}

static int
failed(ssize_t n, const struct message *m)
{
	if (n == UNSUPPORTED || m->error == NULL)
		return answer_failure(n);
	return printf("err lib %s\n", m->error) > 0;
}

static int
answer_send(char **values, size_t at)
{
	struct message m = {.sock = case_sock, .iov = buffers, .fds = list};
	unsigned char *next = buffer;
	ssize_t n;

	for (char *word; (word = strsep(&values[PAYLOAD], ",")) != NULL;) {
		size_t length;

		if (!payload_of(word, at + (size_t)(next - buffer), next, &length) ||
		    !append(&m, &next, length))
			return 0;
	}
	if (!integers(values[FDS], INT_MIN, &m.nfds) ||
	    !flags_of(values[FLAGS], send_flags, &m.flags))
		return 0;
	errno = 0;
	n = peer->send(&m);
	return n < 0 ? failed(n, &m) : printf("ok n=%zd\n", n) > 0;
}

static void
show_received(const struct message *m)
{
	const char *comma = "";

	printf(" fds=");
	for (size_t i = 0; i < m->nfds; i++, comma = ",") {
		printf("%s%d", comma, m->fds[i]);
		if (m->fds[i] >= 0)
			hold(m->fds[i]);
	}
	if (m->closed > 0)
		printf("%sclosed:%d", comma, m->closed);
	else if (m->closed == CLOSED_SOME)
		printf("%sclosed", comma);
	else if (m->nfds == 0)
		printf("-");
	if (peer->reports_flags)
		show_flags(m->flags);
	puts(m->eof ? " eof" : "");
}

static int
answer_recv(char **values, size_t at)
{
	struct message m = {.sock = case_sock, .iov = buffers, .fds = list};
	unsigned char *next = buffer;
	size_t size, told;
	ssize_t n;
	long room;

	for (char *word; (word = strsep(&values[BYTES], ",")) != NULL;) {
		long length;

		if (!integer(word, 0, buffer + MAX_PAYLOAD - next, &length) ||
		    !append(&m, &next, (size_t)length))
			return 0;
	}
	if (!integer(values[FDS], 0, MAX_FDS, &room) ||
	    !flags_of(values[FLAGS], recv_flags, &m.flags))
		return 0;
	size = (size_t)(next - buffer);
	memset(buffer, 0, size);
	m.nfds = (size_t)room;
	errno = 0;
	n = peer->recv(&m);
	if (n < 0)
		return failed(n, &m);
	told = (size_t)n < size ? (size_t)n : size; /* with MSG_TRUNC, n can exceed the size */
	printf("ok n=%zd payload=", n);
	show(told, at);
	show_received(&m);
	return 1;
}

int
peer_loop(const struct peer *p)
{
	const char *version = p->version;
	int status;

#ifdef MUSL
	version = __libc_version;
#endif
	peer = p;
	(void)snprintf(hello, sizeof(hello), "name=%s version=%s can=%s%s%s%s", p->name, version,
	    p->can, p->room != NULL ? " room=" : "", p->room != NULL ? p->room : "",
	    p->polls ? " polls=yes" : "");
	status = serve();
	end_case();
	free(held);
	return status;
}
