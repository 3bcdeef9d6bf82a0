/*
 * Print the control buffers that the CMSG macros of this program's libc make of 0 to 253
 * descriptors, with and without credentials, padded and not. internal/pure/testdata/golden has this
 * output. For small numbers of descriptors there is a line with the lengths of the four buffers,
 * and the buffers in hex. For others there is a hash of the lengths and buffers up to each power of
 * two.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define IN_HEX 3 /* counts up to this one are printed whole */

#define MAX_FDS 253

static union {
	size_t align; /* not a struct cmsghdr, which ends in a flexible array member */
	unsigned char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS) + CMSG_SPACE(sizeof(struct ucred))];
} control;

/* The i-th of the descriptors, and the credentials. */
static int
fd_value(size_t i)
{
	return (int)(0x10203040 + 0x01000193 * (uint32_t)i);
}

static struct ucred
cred_values(void)
{
	struct ucred cred = {0x11223344, 0x55667788, 0x99aabbcc};

	return cred;
}

/* Fill the control buffer with n descriptors, and credentials if requested. Return its length. */
static size_t
build(size_t n, int with_cred, int padded)
{
	static int fds[MAX_FDS];
	size_t last = 0;
	struct msghdr msg;
	struct cmsghdr *cmsg;
	size_t i;

	memset(&control, 0, sizeof(control));
	memset(&msg, 0, sizeof(msg));
	msg.msg_control = control.bytes;
	if (n > 0)
		msg.msg_controllen += CMSG_SPACE(sizeof(int) * n);
	if (with_cred)
		msg.msg_controllen += CMSG_SPACE(sizeof(struct ucred));
	cmsg = CMSG_FIRSTHDR(&msg);
	if (n > 0) {
		for (i = 0; i < n; i++)
			fds[i] = fd_value(i);
		last = sizeof(int) * n;
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(last);
		memcpy(CMSG_DATA(cmsg), fds, last);
		cmsg = CMSG_NXTHDR(&msg, cmsg);
	}
	if (with_cred) {
		struct ucred cred = cred_values();

		last = sizeof(cred);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_CREDENTIALS;
		cmsg->cmsg_len = CMSG_LEN(last);
		memcpy(CMSG_DATA(cmsg), &cred, last);
	}
	if (last > 0 && !padded)
		msg.msg_controllen -= CMSG_SPACE(last) - CMSG_LEN(last);
	return msg.msg_controllen;
}

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
}

/* FNV-1a. */
static uint64_t
hash(uint64_t h, const void *from, size_t len)
{
	const unsigned char *bytes = from;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ bytes[i]) * 0x100000001b3;
	return h;
}

int
main(void)
{
	uint64_t h = 0xcbf29ce484222325;
	size_t size = 0;
	size_t n;

	layout();
	for (n = 0; n <= MAX_FDS; n++) {
		int kind;

		if (n <= IN_HEX)
			(void)printf("%zu:", n);
		for (kind = 0; kind < 4; kind++) {
			size_t len = build(n, (kind & 2) != 0, (kind & 1) == 0);
			unsigned char digits[2] = {
			    (unsigned char)(len / 256), (unsigned char)(len % 256)};
			size_t i;

			size += len;
			h = hash(h, digits, sizeof(digits));
			h = hash(h, control.bytes, len);
			if (n > IN_HEX)
				continue;
			(void)printf(" %zu=", len);
			for (i = 0; i < len; i++)
				(void)printf("%02x", control.bytes[i]);
		}
		if (n <= IN_HEX)
			(void)printf("\n");
		else if ((n & (n - 1)) == 0 || n == MAX_FDS)
			(void)printf("to %zu: %016llx\n", n, (unsigned long long)h);
	}
	(void)printf("%d control buffers, %zu bytes\n", 4 * (MAX_FDS + 1), size);
	return 0;
}
