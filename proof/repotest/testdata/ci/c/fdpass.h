/* A library that passes descriptors. It has two faults: it does not report truncation, and it
 * leaves a pidfd open that the kernel adds to a message. */
#ifndef FDPASS_H
#define FDPASS_H

#include <sys/types.h>

ssize_t fdpass_send(int sock, const void *data, size_t size, const int *fds, size_t nfds);
ssize_t fdpass_recv(int sock, void *data, size_t size, int *fds, size_t *nfds);

#endif
