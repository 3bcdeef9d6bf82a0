/*
 * Print the control buffers that the CMSG macros of this program's libc make of 0 to 253
 * descriptors, with and without credentials, padded and not. internal/pure/testdata/golden has this
 * output. The line for a number of descriptors has the lengths of the four buffers and a hash of
 * them. For small numbers it has the buffers in hex.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "macros.h"

#define IN_HEX 3 /* counts up to this one are printed whole */

static union macros_control control;

static void
layout(void)
{
	(void)printf("SOL_SOCKET %d SCM_RIGHTS %d SCM_CREDENTIALS %d\n", SOL_SOCKET, SCM_RIGHTS,
	    SCM_CREDENTIALS);
	(void)printf("cmsghdr %zu: %zu %zu %zu\n", sizeof(struct cmsghdr),
	    offsetof(struct cmsghdr, cmsg_len), offsetof(struct cmsghdr, cmsg_level),
	    offsetof(struct cmsghdr, cmsg_type));
	(void)printf("ucred %zu: %zu %zu %zu\n", sizeof(struct ucred), offsetof(struct ucred, pid),
	    offsetof(struct ucred, uid), offsetof(struct ucred, gid));
	(void)printf("iovec %zu: %zu %zu\n", sizeof(struct iovec), offsetof(struct iovec, iov_base),
	    offsetof(struct iovec, iov_len));
	(void)printf("msghdr %zu: %zu %zu %zu %zu %zu %zu %zu\n", sizeof(struct msghdr),
	    offsetof(struct msghdr, msg_name), offsetof(struct msghdr, msg_namelen),
	    offsetof(struct msghdr, msg_iov), offsetof(struct msghdr, msg_iovlen),
	    offsetof(struct msghdr, msg_control), offsetof(struct msghdr, msg_controllen),
	    offsetof(struct msghdr, msg_flags));
	(void)printf("mmsghdr %zu: %zu %zu\n", sizeof(struct mmsghdr),
	    offsetof(struct mmsghdr, msg_hdr), offsetof(struct mmsghdr, msg_len));
}

/* FNV-1a. */
static uint64_t
hash(uint64_t h, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ control.bytes[i]) * 0x100000001b3;
	return h;
}

int
main(void)
{
	size_t n;

	layout();
	for (n = 0; n <= MAX_FDS; n++) {
		uint64_t h = 0xcbf29ce484222325;
		int kind;

		(void)printf("%zu:", n);
		for (kind = 0; kind < 4; kind++) {
			size_t len = macros_build(&control, n, (kind & 2) != 0, (kind & 1) == 0);
			size_t i;

			h = hash(h, len);
			(void)printf(" %zu", len);
			if (n <= IN_HEX && len > 0) {
				(void)printf("=");
				for (i = 0; i < len; i++)
					(void)printf("%02x", control.bytes[i]);
			}
		}
		(void)printf(" %016llx\n", (unsigned long long)h);
	}
	return 0;
}
