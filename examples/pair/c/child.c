#include <scm_rights.h>

int
main(void)
{
	char buf[1];
	int fd;

	if (read_fd(3, buf, 1, &fd) != 1)
		return 1;
	return write_fd(3, buf, 1, fd) == 1 ? 0 : 1;
}
