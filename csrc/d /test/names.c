#include <string.h>
#include <unistd.h>

#include "scm_rights.h"

int own_scm_check(void) __asm__("scm_check"); int own_scm_check(void) { return 1; }
int own_scm_close_kept(void) __asm__("scm_close_kept"); int own_scm_close_kept(void) { return 1; }
int own_scm_empty(void) __asm__("scm_empty"); int own_scm_empty(void) { return 1; }
int own_scm_prepare_recv(void) __asm__("scm_prepare_recv"); int own_scm_prepare_recv(void) { return 1; }
int own_scm_prepare_send(void) __asm__("scm_prepare_send"); int own_scm_prepare_send(void) { return 1; }
int own_scm_put(void) __asm__("scm_put"); int own_scm_put(void) { return 1; }
int own_read_fd(void) __asm__("read_fd"); int own_read_fd(void) { return 1; }
int own_scm_rights_recv_batch(void) __asm__("scm_rights_recv_batch"); int own_scm_rights_recv_batch(void) { return 1; }
int own_scm_rights_send_batch(void) __asm__("scm_rights_send_batch"); int own_scm_rights_send_batch(void) { return 1; }
int own_scm_take(void) __asm__("scm_take"); int own_scm_take(void) { return 1; }
int own_scm_take_fds(void) __asm__("scm_take_fds"); int own_scm_take_fds(void) { return 1; }
int own_write_fd(void) __asm__("write_fd"); int own_write_fd(void) { return 1; }

int
main(void)
{
	int sv[2], fd = 0, got[2] = {-1, -1};
	char byte = 'x';
	struct iovec iov;
	struct scm_message m;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) != 0)
		return 1;
	iov.iov_base = &byte;
	iov.iov_len = 1;
	memset(&m, 0, sizeof(m));
	m.iov = &iov;
	m.iovlen = 1;
	m.fds = &fd;
	m.nfds = 1;
	if (scm_rights_send(sv[0], &m, 0) != 1)
		return 2;
	m.fds = got;
	m.nfds = 2;
	if (scm_rights_recv(sv[1], &m, 0) != 1 || m.nfds != 1 || got[0] < 0 || got[1] != -1)
		return 3;
	return close(got[0]);
}
