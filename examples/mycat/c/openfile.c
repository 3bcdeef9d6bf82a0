/*
 * openfile SOCKFD PATH MODE: open PATH with MODE, which is the flags of open(2)
 * in decimal. Pass the descriptor through the socket SOCKFD with one zero byte.
 * The exit status is 0, or the errno of the call that failed.
 */
#include "fatal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

const char program[] = "openfile";

static int
number(const char *text)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || n < 0 || n > INT_MAX) {
		errno = EINVAL;
		fatal(EINVAL, text);
	}
	return (int)n;
}

int
main(int argc, char **argv)
{
	int sock;
	int mode;
	int fd;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: openfile SOCKFD PATH MODE\n");
		return EINVAL;
	}
	sock = number(argv[1]);
	mode = number(argv[3]);
	fd = open(argv[2], mode);
	if (fd < 0)
		return errno; /* mycat prints the error */
	(void)Write_fd(sock, "", 1, fd);
	return 0;
}
