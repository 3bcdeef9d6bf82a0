/*
 * mycat [-o OPENFILE] FILE: copy FILE to standard output. mycat does not open
 * the file itself: the helper OPENFILE (by default ./openfile) opens it and
 * passes the descriptor back. mycat works with openfile in C and in Go.
 */
#include "fatal.h"

#include "scm_rights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

const char program[] = "mycat";

/* Open a file through the helper, like open(2). */
static int
my_open(const char *helper, const char *path, int mode)
{
	char sock[16];
	char flags[16];
	char byte;
	pid_t pid;
	int fd = -1;
	int status;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0)
		fatal(1, "socketpair");
	pid = fork();
	if (pid < 0)
		fatal(1, "fork");
	if (pid == 0) {
		(void)close(sv[0]);
		(void)snprintf(sock, sizeof(sock), "%d", sv[1]);
		(void)snprintf(flags, sizeof(flags), "%d", mode);
		(void)execl(helper, "openfile", sock, path, flags, (char *)NULL);
		fatal(errno, helper);
	}
	(void)close(sv[1]);
	if (waitpid(pid, &status, 0) != pid)
		fatal(1, "waitpid");
	if (!WIFEXITED(status)) {
		errno = ECHILD;
	} else if (WEXITSTATUS(status) != 0) {
		errno = WEXITSTATUS(status);
	} else {
		errno = EBADMSG; /* unless exactly one descriptor arrives */
		(void)Read_fd(sv[0], &byte, 1, &fd);
	}
	(void)close(sv[0]);
	return fd >= 0 ? fd : -1;
}

static void
copy(int from, int to)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		const char *p = buf;

		while (n > 0) {
			ssize_t written = write(to, p, (size_t)n);

			if (written < 0)
				fatal(1, "write");
			p += written;
			n -= written;
		}
	}
	if (n < 0)
		fatal(1, "read");
}

int
main(int argc, char **argv)
{
	const char *helper = "./openfile";
	int option;
	int fd;

	while ((option = getopt(argc, argv, "o:")) == 'o')
		helper = optarg;
	if (option != -1 || argc - optind != 1) {
		(void)fprintf(stderr, "usage: mycat [-o OPENFILE] FILE\n");
		return 2;
	}
	fd = my_open(helper, argv[optind], O_RDONLY);
	if (fd < 0)
		fatal(1, argv[optind]);
	copy(fd, STDOUT_FILENO);
	if (close(fd) < 0)
		fatal(1, "close");
	return 0;
}
