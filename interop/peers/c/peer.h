/* The interface between a peer in C and buffers.c, which adds to the skeleton in peer.c. */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* One message, as the command requests it and as the library returned it. */
struct message {
	int sock;
	struct iovec *iov; /* at least one buffer */
	size_t iovlen;
	int *fds;    /* to send, or an array for 65,535 received ones */
	size_t nfds; /* number to send; or the capacity, and after a receive the number received */
	int flags;   /* requested; after a receive, those the library reported */
	int closed;  /* after a receive: how many the library reports as closed, or CLOSED_SOME */
	int eof;     /* after a receive: whether the library reports the end of the stream */
	const char *error; /* after a failure: the text of an error that is no errno, or NULL */
};

#define CLOSED_SOME (-1)

/* The result of send and recv if the library has no interface for the command. */
#define UNSUPPORTED (-2)

/* One interface of one library. */
struct peer {
	const char *name;
	const char *version;
	const char *can;
	const char *room;  /* NULL: as the caller requests */
	int polls;         /* whether the library makes its sockets non-blocking */
	int reports_flags; /* whether message.flags is valid after a receive */

	/*
	 * Return the library's count, or -1 with errno or message.error set, or UNSUPPORTED without
	 * any effect.
	 */
	ssize_t (*send)(struct message *m);
	ssize_t (*recv)(struct message *m);

	/* For a library with an object for each socket or descriptor; otherwise NULL. */
	void (*use)(int sock); /* prepares the socket of a case */
	void (*close)(int fd); /* closes a descriptor of the case */
};

/* Answers the commands on standard input until end of file, and returns the exit status. */
int peer_loop(const struct peer *peer);

#endif
