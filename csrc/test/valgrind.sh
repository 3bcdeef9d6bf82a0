#!/bin/sh
# valgrind.sh VALGRIND PROGRAM: an error, a leak or a descriptor left open is a
# failure. Older valgrinds list open descriptors without counting them as errors.
log=$2.valgrind
export UNDER_VALGRIND=1 # for what cannot be tested there
"$1" --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all --track-fds=yes \
	--error-exitcode=9 --child-silent-after-fork=yes --log-file="$log" "$2"
status=$?
# What the program inherited has "<inherited from parent>" on the next line.
open=$(awk '/Open (.* socket|file descriptor)/ { held = $0; next }
	held != "" { if (!/inherited from parent/) print held; held = "" }' "$log")
if [ "$status" -ne 0 ] || [ -n "$open" ]; then
	cat "$log"
	exit 1
fi
