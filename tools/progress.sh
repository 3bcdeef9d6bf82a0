#!/usr/bin/env bash
# Runs a command that runs parts of the tests with tools/part.sh, and says every ten seconds how far each part is.
#
#     tools/progress.sh COMMAND ARGUMENT…
#
# An interrupt ends tests before they remove their temporary files, so these are in a directory that this script removes.
set -uo pipefail
TMPDIR=$(mktemp -dt scm.XXXXXX) || exit
export TMPDIR PROGRESS=$TMPDIR/parts
mkdir "$PROGRESS"
chmod 1777 "$TMPDIR" "$PROGRESS" # like /tmp, for tests that start programs as another user

# report: prints how far each part is. It starts no process, which can take seconds on a busy machine.
report() {
	local file how parts=''
	for file in "$PROGRESS"/*.part; do
		if [ -e "$file" ] && read -r how <"$file"; then
			file=${file##*/}
			parts+="${parts:+; }${file%.part}: $how"
		fi
	done
	printf '%d:%02d  %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "${parts:-getting ready}"
}

# The loop ends with the pipe from this script, even if somebody kills the script.
exec {alive}> >(
	trap '' INT
	while read -rt 10 || [ $? -gt 128 ]; do report; done
)
reporter=$!
trap : INT TERM HUP
"$@" {alive}>&-
status=$?
exec {alive}>&-
wait "$reporter"
trap '' INT
rm -rf --one-file-system "$TMPDIR"
exit "$status"
