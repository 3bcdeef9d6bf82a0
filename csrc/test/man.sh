#!/bin/sh
# Checks that each function of scm_rights.h has a manual page, that mandoc finds no fault in the pages, and that their
# examples, built against the library, print the expected text.
#
# $compiler is the compiler with its flags, and $build the folder with the library.
set -eu
: "${compiler:?}" "${build:?}"

sed -n 's/^\(ssize_t\|int\) \([a-z_]*\)(.*/\2/p' scm_rights.h | while read -r name; do
	grep -q "^\.Nm $name\( ,\)\?$" man/*.3 || { echo "man/ has no page for $name" >&2; exit 1; }
done
echo "ok 1 - each function has a page"

if command -v mandoc >/dev/null; then
	mandoc -Tlint -Wwarning man/*.[37] >&2
	echo "ok 2 - mandoc finds no fault"
elif [ "${CI:-}" = true ]; then
	echo "not ok 2 - mandoc finds no fault # missing: mandoc: no mandoc in PATH, and CI=true"
else
	echo "ok 2 - mandoc finds no fault # SKIP missing: mandoc: no mandoc in PATH"
fi

# compile runs the compiler with its flags. A flag that contains a space is quoted for the shell.
compile() {
	eval "$compiler \"\$@\""
}

# example PAGE WANTED
example() {
	source=$build/test/example-$1.c
	mkdir -p "$build/test"
	sed -n '/^\.Sh EXAMPLES/,/^\.Ed/p' "man/$1" | sed -e '1,/^\.Bd/d' -e '/^\.Ed/d' -e 's/\\e/\\/g' >"$source"
	compile -std=c99 -D_GNU_SOURCE -Wall -Wextra -I. -o "$build/test/example-$1" "$source" "$build/libscm_rights.a"
	got=$("$build/test/example-$1" </dev/null)
	test "$got" = "$2" || { echo "the example of man/$1 prints \"$got\", not \"$2\"" >&2; exit 1; }
}
example read_fd.3 Linux
example scm_rights_send.3 '2 ab 1 1'
example scm_rights.7 hello
echo "ok 3 - the examples print what they should"
echo "1..3"
