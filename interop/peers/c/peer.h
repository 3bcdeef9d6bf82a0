/* What a peer in C fills in; loop.c speaks the contract of interop/peers/README.md. */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* One message, as a command asks for it, and as the library answered. */
struct message {
	int sock;
	struct iovec *iov; /* at least one buffer */
	size_t iovlen;
	int *fds;    /* to send, or room; never less than one long */
	size_t nfds; /* how many to send; the room that was asked for, then how many came */
	int flags;   /* asked for; after a receive, reported */
	int closed;  /* after a receive: how many the library closed and told, or CLOSED_SOME */
};

#define CLOSED_SOME (-1)

/* What send and recv return for what the library has no interface for. */
#define UNSUPPORTED (-2)

/* One interface of one library. */
struct peer {
	const char *name;
	const char *version;
	const char *can;
	const char *room;  /* NULL: as the caller asks */
	int reports_flags; /* whether message.flags means something after a receive */

	/* The library's count; or -1 and errno; or UNSUPPORTED, and nothing was done. */
	ssize_t (*send)(struct message *m);
	ssize_t (*recv)(struct message *m);
};

/* Answer the commands of standard input until its end; returns the exit status. */
int peer_loop(const struct peer *peer);

#endif
