#include "private.h"

int
scm_rights_recv_batch(int sock, struct scm_message *ms, size_t n, int flags)
{
#ifdef __linux__
	union scm_control control[SCM_MAX_BATCH];
	struct mmsghdr msgs[SCM_MAX_BATCH];
	size_t room[SCM_MAX_BATCH];
#endif
	size_t i;
	long done;

	for (i = 0; i < n; i++) {
		if (scm_check(&ms[i]) < 0) {
			for (i = 0; i < n; i++)
				scm_clear_received(&ms[i]);
			return -1;
		}
	}
	for (; n > SCM_MAX_BATCH; n--)
		scm_clear_received(&ms[n - 1]);
	if (n == 0)
		return 0;
#ifdef __linux__
	for (i = 0; i < n; i++) {
		room[i] = ms[i].nfds;
		memset(&msgs[i], 0, sizeof(msgs[i]));
		scm_prepare_recv(&msgs[i].msg_hdr, &control[i], &ms[i]);
		scm_clear_received(&ms[i]);
	}
	done = scm_result(syscall(SYS_recvmmsg, sock, msgs, n, flags | MSG_CMSG_CLOEXEC, NULL));
	for (i = 0; i < n && (long)i < done; i++) {
		scm_take(&ms[i], room[i], &msgs[i].msg_hdr);
		ms[i].len = msgs[i].msg_len;
	}
	/* The message that ended the batch. The kernel has not started those after it. */
	if (i < n)
		scm_close_installed(&msgs[i].msg_hdr);
	return (int)done;
#else
	for (i = 0; i < n; i++) {
		/* Like MSG_WAITFORONE: wait only for the first message. */
		done = scm_rights_recv(sock, &ms[i], i > 0 ? flags | MSG_DONTWAIT : flags);
		if (done < 0) {
			for (; n > i; n--)
				scm_clear_received(&ms[n - 1]);
			return i > 0 ? (int)i : -1;
		}
		ms[i].len = (size_t)done;
	}
	return (int)n;
#endif
}
