#include <scm_rights.h>
#include <sys/socket.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	int ends[2], fd;
	char buf[1] = {'x'};

	if (argc < 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		return 1;
	if (fork() == 0)
		return dup2(ends[1], 3) == 3 ? execv(argv[1], argv + 1) : 1;
	close(ends[1]);
	if (write_fd(ends[0], buf, 1, 0) != 1 || read_fd(ends[0], buf, 1, &fd) != 1)
		return 1;
	return dup2(fd, 0) == 0 ? execlp("cat", "cat", (char *)NULL) : 1;
}
