#!/bin/sh
# A program that is linked with libscm.a may have functions of its own that are called as the library's: as those that
# scm.h does not declare, and as those of scm.h that it does not use. The library calls none of them.
#
#     test/names.sh "CC AND FLAGS" BUILD
set -eu
cc=$1
build=$2

mkdir -p "$build/test"
{
	cat <<'C'
#include <string.h>
#include <unistd.h>

#include "scm.h"

C
	# The program's functions: all names of the library's sources but the two that it uses. The names are given to
	# the assembler, because scm.h declares some of them.
	sed -n 's/^\([a-z_]*\)(.*/\1/p' ./*.c | grep -vx 'scm_\(send\|recv\)' |
		sed -e 's/.*/int own_&(void) __asm__("&"); int own_&(void) { return 1; }/'
	cat <<'C'

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
	if (scm_send(sv[0], &m, 0) != 1)
		return 2;
	m.fds = got;
	m.nfds = 2;
	if (scm_recv(sv[1], &m, 0) != 1 || m.nfds != 1 || got[0] < 0 || got[1] != -1)
		return 3;
	return close(got[0]);
}
C
} >"$build/test/names.c"
# shellcheck disable=SC2086 # the compiler may come with flags
$cc -o "$build/test/names" -I. "$build/test/names.c" "$build/libscm.a"
status=0
"$build/test/names" || status=$?
test $status = 0 || { echo "a program with functions of its own, called as the library's, ends with $status" >&2; exit 1; }
echo "ok names"
