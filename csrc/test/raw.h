/* System calls that the tests make without the library. */
#ifndef RAW_H
#define RAW_H

#include <stddef.h>
#include <sys/types.h>

/* Make a connected pair of sockets. Close it with raw_close. */
void raw_pair(int type, int sv[2]);
void raw_close(int n, const int *fds);

/* Open a new file. */
int raw_file(void);

/* Report whether both descriptors refer to the same open file description (a shared offset). */
int raw_same(int a, int b);

int raw_cloexec(int fd);

/* Send n zero bytes with these descriptors in one control message. */
ssize_t raw_send(int sock, size_t n, size_t nfds, const int *fds);

/* Report whether the kernel sends nothing and loses the descriptors if there are no bytes. */
int raw_loses_empty(int type);

/* Set a socket option to 1. Return 0, or -1 and set errno. */
int raw_option(int sock, int option);

/* Report whether this kernel really sends pidfds: some accept any option, also SO_PASSPIDFD. */
int raw_passes_pidfd(void);

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

/*
 * Let this process open exactly left more descriptors, until raw_unlimit. A child sets the
 * limit, because valgrind does not pass on to the kernel a limit that a process sets for
 * itself.
 */
void raw_limit(int left);
void raw_unlimit(void);

#endif
