#!/usr/bin/env bash
# Plays the core set (the peers inside scm) and the full one (those of build/peers, too) again and again, the last
# time with every core busy, and fails unless each run gives what the first gave.
#
#     tools/steady.sh [CORE [FULL]]      so many runs of each, 20 and 3
set -euo pipefail
cd "$(dirname "$0")/.."

out=build/steady
rm -rf "$out"
mkdir -p "$out"

busy=()
stop() {
	if [ ${#busy[@]} -gt 0 ]; then
		kill "${busy[@]}"
		wait "${busy[@]}" || true
	fi
	busy=()
}
trap stop EXIT

# play NAME RUNS ARGS…
play() {
	local name=$1 runs=$2 i
	shift 2
	for ((i = 1; i <= runs; i++)); do
		if ((i == runs)); then
			for _ in $(seq "$(nproc)"); do
				yes >/dev/null &
				busy+=($!)
			done
		fi
		local start=$SECONDS
		build/scm interop run "$@" --report "$out/$name-$i.json" >"$out/$name-$i.txt" 2>&1 ||
			{ echo "$name, run $i: exit status $?" >&2; cat "$out/$name-$i.txt" >&2; exit 1; }
		echo "$name, run $i: $((SECONDS - start)) s$([ ${#busy[@]} -eq 0 ] || echo ', every core busy'): $(build/scm interop compare --exact "$out/$name-1.json" "$out/$name-$i.json")"
		stop
	done
}

play core "${1:-20}"
play full "${2:-3}" --peers build/peers/peers.json
