/*
 * partner: receive a memfd from the socket with descriptor 3, and change the
 * letters in it to capitals. Check first that the sender can neither shrink nor
 * grow the memfd: if it could, access to the mapping could kill this process
 * with SIGBUS.
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
		errx(1, "received no descriptor");
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & size_seals) != size_seals)
		errx(1, "the size of the memfd is not sealed");
	if (fstat(fd, &st) != 0)
		err(1, "fstat");
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	for (i = 0; i < st.st_size; i++)
		memory[i] = (char)toupper((unsigned char)memory[i]);
	return 0;
}
