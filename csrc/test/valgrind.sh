#!/bin/sh
# valgrind.sh VALGRIND PROGRAM: an error, a leak or a descriptor left open is a
# failure. Descriptors are looked at in a run of their own: valgrind 3.24 counts
# each use of a closed one as an error, which the tests make on purpose.
log=$2.valgrind
export UNDER_VALGRIND=1 # for what cannot be tested there
"$1" --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all \
	--error-exitcode=9 --child-silent-after-fork=yes --log-file="$log" "$2" || {
	cat "$log"
	exit 1
}
"$1" --leak-check=no --track-fds=yes --child-silent-after-fork=yes --log-file="$log" "$2" >/dev/null
status=$?
# What the program inherited has "<inherited from parent>" on the next line.
open=$(awk '/Open (.* socket|file descriptor)/ { held = $0; next }
	held != "" { if (!/inherited from parent/) print held; held = "" }' "$log")
if [ "$status" -ne 0 ] || [ -n "$open" ]; then
	cat "$log"
	exit 1
fi
