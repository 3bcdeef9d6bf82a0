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

# commas TEXT: sets REPLY to the text with 1,204 instead of 1204.
commas() {
	REPLY=$1
	while [[ $REPLY =~ ^(.*[0-9])([0-9]{3}([^0-9].*)?)$ ]]; do REPLY=${BASH_REMATCH[1]},${BASH_REMATCH[2]}; done
}

# report: prints how far each part is. It starts no process, which can take seconds on a busy machine.
report() {
	local file line lines parts='' specs packages
	for file in "$PROGRESS"/*.part; do
		[ -e "$file" ] || continue
		file=${file%.part} specs='' packages=0
		[ ! -e "$file.specs" ] || read -r specs <"$file.specs"
		mapfile -t lines <"$file.part"
		for line in "${lines[@]}"; do
			[[ $line != 'ok  '* ]] || packages=$((packages + 1))
		done
		[ "$packages" = 0 ] || specs+="${specs:+, }packages: $packages"
		commas "${specs:-running}"
		parts+="${parts:+; }${file##*/}: $REPLY"
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
