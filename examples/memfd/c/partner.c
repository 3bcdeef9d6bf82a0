/*
 * partner: receive a memfd from the socket that is descriptor 3, and write its
 * letters in capitals. The sender can neither shrink nor grow it: without the
 * seals, a mapping of it could end this process by SIGBUS.
 */
#include <scm_rights.h>

#include <ctype.h>
#include <err.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

int
main(void)
{
	const int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;
	struct stat st;
	char byte;
	char *memory;
	int fd;
	int seals;
	off_t i;

	if (read_fd(3, &byte, 1, &fd) != 1 || fd < 0)
		errx(1, "no descriptor was received");
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & size_seals) != size_seals)
		errx(1, "the size is not sealed");
	if (fstat(fd, &st) != 0)
		err(1, "fstat");
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	for (i = 0; i < st.st_size; i++)
		memory[i] = (char)toupper((unsigned char)memory[i]);
	return 0;
}
