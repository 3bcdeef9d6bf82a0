#!/usr/bin/env bash
# What action.yml runs, with the inputs in the environment: builds scm, plays, and leaves the reports, the summary
# of the job and the exit status.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
args=(--builtin="$BUILTIN")
# each FLAG LINES: the flag once for each line that is not empty.
each() {
	local line
	while read -r line; do # without the space around it
		if [ -n "$line" ]; then
			args+=("$1" "$line")
		fi
	done <<<"${2//$'\r'/}"
}
if [ -z "$REPORTS" ]; then # not the root folder's
	echo "the input reports is empty" >&2
	echo "status=2" >>"$GITHUB_OUTPUT"
	exit 2
fi
each --peer "$PEERS"
each --run "$RUN"
each --skip "$SKIP"
each --expect "$EXPECT"
each --shard "$SHARD"
# A run that breaks writes no report, and the last run's must not be taken for one of this.
for form in json jsonl xml md html; do
	rm -f -- "$REPORTS/report.$form"
	args+=(--report "$REPORTS/report.$form")
done
rm -f -- "$REPORTS/badge.json"

# A signal ends the command that await waits for, by TERM: INT is ignored in the background. In the foreground none
# would reach it, as bash runs no trap until that has ended.
cancelled=
cancel() {
	cancelled=yes
	if [ -n "${!:-}" ]; then
		kill -TERM "$!" 2>/dev/null || true # it may have ended
	fi
}
trap cancel HUP INT TERM
# await COMMAND: its exit status, also if signals interrupt the wait.
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

# Of a checkout of another owner, as a container has it, git tells nothing: go build then fails, or records no version.
vcs=()
git -C "$here" rev-parse HEAD >/dev/null 2>&1 || vcs=(-buildvcs=false)
# This checkout may lie in a repository with a go.work or a vendor folder of its own: neither is for scm.
scm=$(mktemp -d "${RUNNER_TEMP:-/tmp}/scm-XXXXXX")/scm
built=$(dirname "$scm")/peers
if ! GOWORK=off await go -C "$here" build -mod=readonly "${vcs[@]}" -o "$scm" ./cmd/scm; then
	rm -r "$(dirname "$scm")"
	status=4
	[ -z "$cancelled" ] || status=143
	echo "status=$status" >>"$GITHUB_OUTPUT"
	exit "$status"
fi

# What cannot be built is in the report with its reason.
read -ra names <<<"${WITH//[$'\r\n']/ }"
if [ ${#names[@]} -gt 0 ]; then
	[ "${names[*]}" != all ] || names=()
	GOWORK=off await go -C "$here" run -mod=readonly "${vcs[@]}" ./tools/buildpeers -out "$built" "${names[@]}" >&2 || true
	args+=(--peers "$built/peers.json")
fi

# No line of the run is a command of the workflow, whatever a peer writes. The word that ends this is nobody's to guess,
# and the run's standard error goes with its output, so that none of it comes behind that word.
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
trap 'echo "::$token::"' EXIT
echo "::stop-commands::$token"
status=0
await "$scm" interop run "${args[@]}" 2>&1 || status=$?
trap - EXIT
echo "::$token::"
rm -r "$(dirname "$scm")"
if [ -e "$REPORTS/report.md" ]; then
	cat -- "$REPORTS/report.md" >>"$GITHUB_STEP_SUMMARY"
	message="as expected" color=brightgreen
	[ "$status" = 0 ] || message="not as expected" color=red
	printf '{"schemaVersion":1,"label":"scm interop","message":"%s","color":"%s"}\n' "$message" "$color" >"$REPORTS/badge.json"
fi
echo "status=$status" >>"$GITHUB_OUTPUT"
exit "$status"
