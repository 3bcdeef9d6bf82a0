#include "private.h"

/*
 * Linux sends at most INT_MAX bytes of a message, rounded down to whole pages. This
 * value is not larger than that for any page size up to 1 MiB.
 */
#define SCM_MAX_WHOLE ((size_t)0x7ff00000)

int
scm_rights_send_batch(int sock, struct scm_message *ms, size_t n, int flags)
{
#ifdef __linux__
	union scm_control control[SCM_MAX_BATCH];
	struct mmsghdr msgs[SCM_MAX_BATCH];
#endif
	size_t whole;
	size_t i;
	size_t k;
	long done;

	for (i = 0; i < n; i++)
		ms[i].len = 0;
	for (i = 0; i < n; i++) {
		if (scm_check(&ms[i]) < 0)
			return -1;
	}
	if (n > SCM_MAX_BATCH)
		n = SCM_MAX_BATCH;
	if (n == 0)
		return 0;
#ifdef __linux__
	/*
	 * sendmmsg considers a longer message complete when that much of it is sent. On a
	 * stream it would then send the next message after an incomplete one.
	 */
	for (i = 0; i + 1 < n; i++) {
		whole = 0;
		for (k = 0; ms[i].iov != NULL && k < ms[i].iovlen; k++) {
			if (ms[i].iov[k].iov_len > SCM_MAX_WHOLE - whole) {
				n = i + 1;
				break;
			}
			whole += ms[i].iov[k].iov_len;
		}
	}
	for (i = 0; i < n; i++) {
		memset(&msgs[i], 0, sizeof(msgs[i]));
		scm_prepare_send(&msgs[i].msg_hdr, &control[i], &ms[i]);
	}
	done = scm_result(syscall(SYS_sendmmsg, sock, msgs, n, flags));
	for (i = 0; i < n && (long)i < done; i++)
		ms[i].len = msgs[i].msg_len;
	return (int)done;
#else
	for (i = 0; i < n; i++) {
		done = scm_rights_send(sock, &ms[i], flags);
		if (done < 0)
			return i > 0 ? (int)i : -1;
		ms[i].len = (size_t)done;
		/* Like sendmmsg, send nothing after an incomplete message. */
		whole = 0;
		for (k = 0; k < ms[i].iovlen; k++)
			whole += ms[i].iov[k].iov_len;
		if (ms[i].len < whole)
			return (int)i + 1;
	}
	return (int)n;
#endif
}
