/* Control buffers made with the CMSG macros of the libc. */
#ifndef MACROS_H
#define MACROS_H

#include <stddef.h>
#include <sys/socket.h>

#define MAX_FDS 253

union macros_control {
	size_t align; /* not a struct cmsghdr, which ends in a flexible array member */
	unsigned char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS) + CMSG_SPACE(sizeof(struct ucred)) +
	    CMSG_SPACE(sizeof(int))];
};

/* The i-th of the descriptors, and the credentials. */
int macros_fd(size_t i);
struct ucred macros_cred(void);

/* Fill control with n descriptors, and credentials if requested. Return its length. */
size_t macros_build(union macros_control *control, size_t n, int with_cred, int padded);

#endif
