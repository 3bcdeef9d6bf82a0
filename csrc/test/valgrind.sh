#!/bin/sh
# valgrind.sh VALGRIND PROGRAM: fail on an error, a leak or a descriptor left open.
# Descriptors are checked in a separate run: valgrind 3.24 counts each use of a closed
# descriptor as an error, and the tests use closed descriptors on purpose. The tool none,
# which checks no memory, runs the program in half the time.
log=$2.valgrind
export UNDER_VALGRIND=1 # some tests cannot run under valgrind
"$1" --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all \
	--error-exitcode=9 --child-silent-after-fork=yes --log-file="$log" "$2" || {
	status=$?
	cat "$log" >&2
	exit "$status"
}
"$1" --tool=none --track-fds=yes --child-silent-after-fork=yes --log-file="$log" "$2" >/dev/null
status=$?
# For an inherited descriptor, the next line is "<inherited from parent>". In "FILE DESCRIPTORS: 6 open (3 std)", the
# second number is of those that are not listed.
open=$(awk '/FILE DESCRIPTORS: [0-9]+ open/ { listed = 1; left = $4 - substr($6, 2) }
	/Open (.* socket|file descriptor)/ { left--; held = $0; next }
	held != "" { if (!/inherited from parent/) print held; held = "" }
	END { if (!listed || left != 0) print "the list of descriptors cannot be read" }' "$log")
if [ "$status" -ne 0 ] || [ -n "$open" ]; then
	cat "$log" >&2
	exit 1
fi
