/* Calls that end the process when they fail, as the book's wrappers do. */
#ifndef FATAL_H
#define FATAL_H

#include <stddef.h>
#include <sys/types.h>

/* Print "PROGRAM: what: " and the error of errno, and exit with this status. */
void fatal(int status, const char *what);

/* read_fd; the status is 1. */
ssize_t Read_fd(int fd, void *ptr, size_t nbytes, int *recvfd);

/* write_fd; the status is errno, which is how openfile tells mycat why. */
ssize_t Write_fd(int fd, const void *ptr, size_t nbytes, int sendfd);

/* Each program's own. */
extern const char program[];

#endif
