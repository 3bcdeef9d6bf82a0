#include "fatal.h"

#include "scm_rights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
fatal(int status, const char *what)
{
	(void)fprintf(stderr, "%s: %s: %s\n", program, what, strerror(errno));
	exit(status);
}

ssize_t
Read_fd(int fd, void *ptr, size_t nbytes, int *recvfd)
{
	ssize_t n = read_fd(fd, ptr, nbytes, recvfd);

	if (n < 0)
		fatal(1, "read_fd");
	return n;
}

ssize_t
Write_fd(int fd, const void *ptr, size_t nbytes, int sendfd)
{
	ssize_t n = write_fd(fd, ptr, nbytes, sendfd);

	if (n < 0)
		fatal(errno, "write_fd");
	return n;
}
