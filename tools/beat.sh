#!/usr/bin/env bash
# The shell of the Makefile's recipes: bash, with a line after 5 seconds, and then every
# 15 seconds, that says what is running and for how long.
#
#     tools/beat.sh target=TARGET BASH-ARGUMENT…
#
# A program that runs several things can list them for that line in a file in the directory $SCM_BEAT: a line each,
# with the time at which it started (in seconds, as of date +%s) and its name. SCM_BEAT_SECONDS replaces both times.
set -u
target=${1#target=}
shift

# $(shell …) has no target.
[ -n "$target" ] || exec bash "$@"
# The parent make prints the lines.
if [ -d "${SCM_BEAT-}" ]; then
	echo "$(date +%s) $target" >"$SCM_BEAT/.target"
	exec bash "$@"
fi

SCM_BEAT=$(mktemp -d 2>/dev/null) || exec bash "$@"
export SCM_BEAT

# This loop ends when the shell does, because only the shell has the other end of its input open.
exec 9> >(
	wait=5
	while
		read -r -t "${SCM_BEAT_SECONDS:-$wait}" _
		[ $? -gt 128 ] # not a line, and not the end
	do
		wait=15
		list='' now=$(date +%s)
		while read -r at name; do
			list+="${list:+, }$name $((now - at)) s"
		done < <(cat "$SCM_BEAT/.target" "$SCM_BEAT"/* 2>/dev/null)
		printf '… make %s %d s%s\n' "$target" "$SECONDS" "${list:+: $list}"
	done
)
trap 'rm -rf "$SCM_BEAT"' EXIT
# Leave an interrupt to the command, and end after it.
trap : INT

bash "$@" 9>&-
