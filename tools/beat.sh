#!/usr/bin/env bash
# The shell of the Makefile's recipes. It runs them with bash, and whenever they have printed nothing for 15 seconds
# it prints what is running and for how long.
#
#     tools/beat.sh target=TARGET BASH-ARGUMENT…
#
# A program that runs several things can list them for that line in a file in the directory $SCM_BEAT: a line each,
# with the time at which it started (in seconds, as of date +%s) and its name. Standard error goes where standard
# output goes. SCM_BEAT_SECONDS is the interval, if it is set.
set -u
target=${1#target=}
shift

# $(shell …) has no target. Before bash 4 a read that times out cannot be told from the end of the input.
if [ -z "$target" ] || [ "${BASH_VERSINFO[0]}" -lt 4 ]; then
	exec bash "$@"
fi
# A make below another one is listed in the other one's line.
if [ -d "${SCM_BEAT-}" ]; then
	echo "$(date +%s) $target" >"$SCM_BEAT/.target"
	exec bash "$@"
fi

SCM_BEAT=$(mktemp -d) || exit
export SCM_BEAT
trap 'rm -rf "$SCM_BEAT"' EXIT
# An interrupt is for the command. What it prints before it ends is still passed on.
trap : INT
end="end-$$-$RANDOM:"

# pass_on copies its input up to the exit status of the command, and returns that.
pass_on() {
	local LC_ALL=C line='' more status at name list now
	trap '' INT
	while :; do
		IFS= read -r -t "${SCM_BEAT_SECONDS:-15}" more
		status=$?
		line+=$more
		if [[ $line == *"$end"* ]]; then
			printf '%s' "${line%%"$end"*}"
			return "${line##*"$end"}"
		elif [ "$status" = 0 ]; then
			printf '%s\n' "$line"
		elif [ "$status" -le 128 ]; then
			printf '%s' "$line"
			return 1
		else
			list='' now=$(date +%s)
			while read -r at name; do
				list+="${list:+, }$name $((now - at)) s"
			done < <(cat "$SCM_BEAT/.target" "$SCM_BEAT"/* 2>/dev/null)
			printf '%s… make %s %d s%s\n' "$line${line:+$'\n'}" "$target" "$SECONDS" "${list:+: $list}"
		fi
		line=''
	done
}

{
	bash "$@"
	printf '%s%d\n' "$end" $?
} 2>&1 | pass_on
exit "${PIPESTATUS[1]}"
