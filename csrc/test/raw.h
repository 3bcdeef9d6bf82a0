/* What the tests say to the kernel without the library. */
#ifndef RAW_H
#define RAW_H

#include <stddef.h>
#include <sys/types.h>

/* A connected pair of sockets; to be closed with raw_close. */
void raw_pair(int type, int sv[2]);
void raw_close(int n, const int *fds);

/* A file that nobody else has. */
int raw_file(void);

/* Whether both numbers are the one open file description: they share an offset. */
int raw_same(int a, int b);

int raw_cloexec(int fd);

/* sendmsg of n zero bytes with these descriptors, in one control message. */
ssize_t raw_send(int sock, size_t n, size_t nfds, const int *fds);

/* Set a socket option to 1: 0, or -1 and errno. */
int raw_option(int sock, int option);

/* Whether this kernel knows SO_PASSPIDFD and sends pidfds: some accept any option. */
int raw_passes_pidfd(void);

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

/*
 * Leave this process exactly so many free descriptor numbers, until
 * raw_unlimit. It is done from a child: valgrind keeps a limit that a process
 * sets for itself from the kernel.
 */
void raw_limit(int left);
void raw_unlimit(void);

#endif
