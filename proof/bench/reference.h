#ifndef REFERENCE_H
#define REFERENCE_H

/* Each message has count descriptors and payload bytes. */
struct load {
	int count;
	int payload;
};

/*
 * reference_loop passes fd from a to b n times and closes the received descriptors. It prepares the
 * headers in advance, so it is as fast as the C library's calls can be. It returns 0 or an errno.
 */
int reference_loop(int a, int b, int fd, struct load load, long n);

/* reference_echo sends back each descriptor and byte that it receives, until end of file. */
void reference_echo(int sock);

#endif
