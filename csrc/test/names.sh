#!/bin/sh
# A program that is linked with libscm_rights.a may have functions of its own that are called as the library's: as those
# that scm_rights.h does not declare, and as those of scm_rights.h that it does not use. The library calls none of them.
# And a shared library beside it may have functions that are called as libguile's.
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

#include "scm_rights.h"

C
	# The program's functions: all names of the library's sources but the two that it uses. The names are given to
	# the assembler, because scm_rights.h declares some of them.
	sed -n 's/^\([a-z_]*\)(.*/\1/p' ./*.c | grep -vx 'scm_rights_\(send\|recv\)' |
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
	if (scm_rights_send(sv[0], &m, 0) != 1)
		return 2;
	m.fds = got;
	m.nfds = 2;
	if (scm_rights_recv(sv[1], &m, 0) != 1 || m.nfds != 1 || got[0] < 0 || got[1] != -1)
		return 3;
	return close(got[0]);
}
C
} >"$build/test/names.c"
# compile is the compiler with its flags, which have a shell's quotes where one has a space.
compile() {
	eval "$cc \"\$@\""
}
compile -o "$build/test/names" -I. "$build/test/names.c" "$build/libscm_rights.a"
status=0
"$build/test/names" || status=$?
test $status = 0 || { echo "a program with functions of its own, called as the library's, ends with $status" >&2; exit 1; }

# A shared library beside it may export the names that Guile's does, whichever of the two comes first.
{
	for name in send recv; do
		printf '__attribute__((visibility("default"))) int scm_%s(void);\nint scm_%s(void) { return 7; }\n' "$name" "$name"
	done
	printf '__attribute__((visibility("default"))) int guile(void);\nint guile(void)\n{\n\tint (*volatile f[])(void) = {scm_%s, scm_%s};\n\n' send recv
	printf '\treturn f[0]() + f[1]();\n}\n'
} >"$build/test/guile.c"
compile -fPIC -shared -o "$build/test/libguile.so" "$build/test/guile.c"
sed -e '/^int own_/d' -e 's/^main(void)/guile(void);\n\nint\n&/' -e 's/return close(.*/if (guile() != 14)\n\t\treturn 4;\n\t&/' \
	"$build/test/names.c" >"$build/test/beside.c"
beside() {
	compile -o "$build/test/beside" -I. "$build/test/beside.c" "$@"
	status=0
	LD_LIBRARY_PATH=$build:$build/test "$build/test/beside" || status=$?
	test $status = 0 || { echo "a program linked with $* ends with $status" >&2; exit 1; }
}
for library in "$build/libscm_rights.so" "$build/libscm_rights.a"; do
	beside "$library" "$build/test/libguile.so"
	beside "$build/test/libguile.so" "$library"
done
echo "ok names"
