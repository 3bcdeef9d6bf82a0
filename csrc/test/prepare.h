/* A message of one buffer, as most of the tests have. */
#ifndef PREPARE_H
#define PREPARE_H

#include "scm_rights.h"

/* Make *m a message of this buffer and these descriptors, or of room for them. */
void prepare(
    struct scm_message *m, struct iovec *iov, void *base, size_t len, int *fds, size_t nfds);

#endif
