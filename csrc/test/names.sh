#!/bin/sh
# Checks that a program linked with libscm_rights.a may define functions with the same names as the library's: those that
# scm_rights.h does not declare, and those of scm_rights.h that the program does not use. The library calls none of them.
# Also checks that the program may use a shared library that exports names of libguile.
#
# $compiler is the compiler with its flags, and $build the folder with the libraries.
set -eu
: "${compiler:?}" "${build:?}"

mkdir -p "$build/test"
sed -n 's/^\([a-z_]*\)(.*/\1/p' ./*.c private.h >"$build/test/functions"
{
	cat <<'C'
#include <string.h>
#include <unistd.h>

#include "scm_rights.h"

C
	# The program defines every function of the library's sources except the two that it uses. It gives the names to
	# the assembler, because scm_rights.h declares some of them.
	grep -vx 'scm_rights_\(send\|recv\)' "$build/test/functions" >"$build/test/own"
	sed -e 's/.*/int own_&(void) __asm__("&"); int own_&(void) { return 1; }/' "$build/test/own"
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
# compile runs the compiler with its flags. A flag that contains a space is quoted for the shell.
compile() {
	eval "$compiler \"\$@\""
}
compile -o "$build/test/names" -I. "$build/test/names.c" "$build/libscm_rights.a"
status=0
"$build/test/names" || status=$?
test $status = 0 || { echo "a program that defines functions with the library's names exits with status $status" >&2; exit 1; }

echo "ok 1 - a program may define functions with the library's names"

# Another shared library may export the same names as libguile, whether it is linked before or after this one.
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
	test $status = 0 || { echo "a program linked with $* exits with status $status" >&2; exit 1; }
}
for library in "$build/libscm_rights.so" "$build/libscm_rights.a"; do
	beside "$library" "$build/test/libguile.so"
	beside "$build/test/libguile.so" "$library"
done
echo "ok 2 - another shared library may export the names of libguile"
echo "1..2"
