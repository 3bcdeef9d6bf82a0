/* Reads the words of commands and prints the words of answers. */
#ifndef WORDS_H
#define WORDS_H

#include "peer.h"

#include <stdbool.h>

/*
 * Each of these reads a whole word and returns whether it is well formed. The
 * caller frees the memory that it stores, after a failure as well. Lists are
 * split at their commas in place.
 */
bool word_integer(const char *word, long least, long most, long *number);
bool word_fds(char *word, long least, int **fds, size_t *nfds);
bool word_payload(char *word, long at, struct iovec **iov, size_t *iovlen);
bool word_room(char *word, struct iovec **iov, size_t *iovlen);
bool word_send_flags(char *word, int *flags);
bool word_recv_flags(char *word, int *flags);

/* Each of these prints the value of a field. */
void print_payload(const struct message *m, size_t n, long at);
void print_fds(const struct message *m);
void print_flags(int flags);
void print_errno(int number);

/* calloc, which exits the process on failure. */
void *allocate(size_t n, size_t size);

#endif
