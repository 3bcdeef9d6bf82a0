#!/usr/bin/env bash
# The script of action.yml, which passes its inputs in the environment. It runs the cases, and writes the reports, the job
# summary and the exit status. SCM_FOLDER contains the programs that action-get.sh downloaded. If it is empty, this script
# builds them. If it fails itself, as without a temporary directory, it ends with status 4.
set -euo pipefail

trap 'echo "status=4" >>"$GITHUB_OUTPUT"; exit 4' ERR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
args=(--builtin="$BUILTIN")
# each FLAG LINES: adds the flag once for each line that is not empty.
each() {
	local line
	while read -r line; do # read trims surrounding spaces
		if [ -n "$line" ]; then
			args+=("$1" "$line")
		fi
	done <<<"${2//$'\r'/}"
}
if [ -z "$REPORTS" ]; then # or the reports would go to the root directory
	echo "the input reports is empty" >&2
	echo "status=2" >>"$GITHUB_OUTPUT"
	exit 2
fi
each --peer "$PEERS"
each --run "$RUN"
each --skip "$SKIP"
each --expect "$EXPECT"
# Remove the reports of an earlier run, which wrong usage would leave.
for form in json jsonl xml html; do
	rm -f -- "$REPORTS/report.$form"
	args+=(--report "$REPORTS/report.$form")
done

# unfinished: prints an annotation for each line of the user's files of expected failures whose reason begins with "?".
# Such a line ends the run before its first case. Files outside the workspace cannot be annotated.
unfinished() {
	local file name line
	while read -r file; do
		name=${file#"${GITHUB_WORKSPACE:-.}"/}
		name=${name//%/%25}
		name=${name//:/%3A}
		name=${name//,/%2C}
		case $name in
		'' | /* | ../*) continue ;;
		esac
		{ grep -nE '^\s*[^#[:space:]]\S*\s+\S+\s+(flaky:\s*)?[?]' -- "$file" 2>/dev/null || true; } | cut -d: -f1 | while read -r line; do
			echo "::error file=$name,line=$line,title=scm interop%3A unfinished reason::complete the reason of this expected failure, and remove the ?"
		done
	done <<<"${EXPECT//$'\r'/}"
}

# On a signal, send TERM to the command that await runs in the background, where INT is ignored. It cannot run in the
# foreground, because bash would run the trap only after it has ended.
cancelled=
cancel() {
	cancelled=yes
	if [ -n "${!:-}" ]; then
		kill -TERM "$!" 2>/dev/null || true # it may have ended
	fi
}
trap cancel HUP INT TERM
# await COMMAND: runs it and returns its exit status, even if signals interrupt the wait.
await() {
	"$@" &
	if [ -n "$cancelled" ]; then
		cancel
	fi
	while kill -0 "$!" 2>/dev/null; do
		wait "$!" || true
	done
	wait "$!"
}

read -ra names <<<"${WITH//[$'\r\n']/ }"
all=
[ "${names[*]}" != all ] || all=yes names=()
folder=${SCM_FOLDER:-}
if [ -n "$folder" ]; then
	for name in "${names[@]}"; do
		args+=(--with "$name")
	done
else
	# In a checkout that belongs to another user, as in a container, git refuses to answer. go build then fails unless it
	# records no version.
	vcs=()
	git -C "$here" rev-parse HEAD >/dev/null 2>&1 || vcs=(-buildvcs=false)
	# This checkout may be inside a repository that has its own go.work or vendor directory. Ignore both.
	folder=$(mktemp -d "${RUNNER_TEMP:-/tmp}/scm-XXXXXX")
	echo "building scm"
	if ! GOWORK=off await go -C "$here" build -mod=readonly "${vcs[@]}" -o "$folder/scm" ./cmd/scm; then
		rm -r "$folder"
		status=4
		[ -z "$cancelled" ] || status=143
		echo "status=$status" >>"$GITHUB_OUTPUT"
		exit "$status"
	fi
	# The report lists each peer that cannot be built, with the reason.
	if [ -n "$all${names[*]}" ]; then
		GOWORK=off await go -C "$here" run -mod=readonly "${vcs[@]}" ./tools/buildpeers -out "$folder/peers" "${names[@]}" >&2 || true
	fi
fi
[ -z "$all${names[*]}" ] || args+=(--peers "$folder/peers/peers.json")
scm=$folder/scm

# Whatever a peer prints, no line of it may act as a workflow command. The token that ends this mode cannot be guessed.
# Standard error is merged with the output, so that none of it is printed after the token.
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
trap 'echo "::$token::"' EXIT
echo "::stop-commands::$token"
status=0
await "$scm" interop run "${args[@]}" 2>&1 || status=$?
trap - EXIT
echo "::$token::"
args=()
each --expect "$EXPECT"
if "$scm" interop summary "${args[@]}" -- "$REPORTS/report.json" >>"$GITHUB_STEP_SUMMARY" 2>/dev/null; then
	"$scm" interop summary --annotations -- "$REPORTS/report.json" || true
elif [ -z "$cancelled" ]; then # wrong usage, or the report could not be written
	echo "::error title=scm interop::no case was run (exit status $status); the log of this step shows why"
	unfinished | head -n 9 || true
fi
rm -r "$folder"
echo "status=$status" >>"$GITHUB_OUTPUT"
exit "$status"
