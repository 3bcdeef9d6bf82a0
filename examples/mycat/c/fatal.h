/* Wrappers that exit the process if a call fails, as in UNP. */
#ifndef FATAL_H
#define FATAL_H

#include <stddef.h>
#include <sys/types.h>

/* Print "PROGRAM: what: " and the message for errno, and exit with status. */
void fatal(int status, const char *what);

/* Call read_fd. On failure, exit with status 1. */
ssize_t Read_fd(int fd, void *ptr, size_t nbytes, int *recvfd);

/* Call write_fd. On failure, exit with errno, which openfile reports to mycat this way. */
ssize_t Write_fd(int fd, const void *ptr, size_t nbytes, int sendfd);

/* The name of the program, which each program defines. */
extern const char program[];

#endif
