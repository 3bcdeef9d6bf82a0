#ifndef REFERENCE_H
#define REFERENCE_H

/* Passed are count descriptors in a message beside payload bytes, in so many messages a call. */
struct load {
	int count;
	int payload;
	int messages;
};

/*
 * reference_loop passes fd from a to b n times and closes what comes, with headers that were made
 * before: as quickly as the calls of the C library go. It returns 0, or an errno.
 */
int reference_loop(int a, int b, int fd, struct load load, long n);

/* reference_echo sends back what it receives, a descriptor and a byte, and returns at the end. */
void reference_echo(int sock);

#endif
