/* Messages with one buffer, which most of the tests use. */
#ifndef PREPARE_H
#define PREPARE_H

#include "scm_rights.h"

/* Make *m a message with this buffer, and with these descriptors or this capacity for them. */
void prepare(
    struct scm_message *m, struct iovec *iov, void *base, size_t len, int *fds, size_t nfds);

#endif
