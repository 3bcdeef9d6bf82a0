#!/usr/bin/env bash
# Runs a part of the tests, keeps the output in RESULTS/NAME.log, and prints the lines about what passed, failed or was skipped.
# tools/gotest counts them.
#
# Below tools/progress.sh, which sets PROGRESS, a file there says how far the part is while it runs. The suite of package scm
# writes to this file, $SCM_PROGRESS, how many of its specs have run.
#
#     tools/part.sh NAME test GO-TEST-ARGUMENT…
#     tools/part.sh NAME run COMMAND ARGUMENT…      prints all lines
#     tools/part.sh NAME skip REASON                fails if CI=true
set -uo pipefail
go=${GO:-go}
name=${1//\//-}
log=${RESULTS:-build/test}/$name.log
mkdir -p "$(dirname "$log")"
export SCM_PROGRESS=${PROGRESS:+$PROGRESS/$name.part}

# shellcheck disable=SC2317 # the last lines call it
skip() {
	echo "skip: $*"
	[ "${CI-}" != true ]
}
keep=(cat)
case $2 in
test)
	keep=(grep -E --line-buffered '^(ok  |FAIL|skip|panic:|fatal error:|#? ?go: |# )|^ *--- (FAIL|SKIP)|\.go:[0-9]+:[0-9]+: ')
	# Tests wait for a third of their time. A package that takes 20 minutes hangs, and go test prints the stacks. A slow
	# machine exceeds that without a fault: SLOW=N multiplies it. make lint runs vet. The linker is faster without
	# debugging information, also for the programs that tests build. The compiler is faster with less garbage collection,
	# which the tests have as usual.
	GOFLAGS="-ldflags=-w $("$go" env GOFLAGS)"
	export GOFLAGS GOGC=400
	dir=.
	[ "$3" != -C ] || { dir=$4; set -- "$1" "$2" "${@:5}"; }
	set -- "$1" "$go" test -C "$dir" -v -count=1 "-timeout=$((20 * ${SLOW:-1}))m" -vet=off -exec 'env -u GOGC' "-p=$((2 * $(getconf _NPROCESSORS_ONLN)))" "${@:3}"
	;;
run) set -- "$1" "${@:3}" ;;
skip) set -- "$1" skip "$1: $3" ;;
esac
echo "$1: ${*:2}" >"$log"
echo running >"${SCM_PROGRESS:-/dev/null}"
"${@:2}" 2>&1 | tee -a "$log" | "${keep[@]}"
status=${PIPESTATUS[0]}
[ -z "$SCM_PROGRESS" ] || rm -f "$SCM_PROGRESS"
[ -z "$(tail -c 1 "$log")" ] || echo >>"$log"
echo "$1: exit status $status" >>"$log"
exit "$status"
