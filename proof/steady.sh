#!/usr/bin/env bash
# Runs the core set (the built-in peers) and the full set (with those in build/peers) repeatedly, the last time with
# every core busy. It fails unless every run gives the same results as the first.
#
#     proof/steady.sh [CORE [FULL]]      the number of runs of each set (20 and 3)
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

# repeat NAME RUNS ARGS…
repeat() {
	local name=$1 runs=$2 i said
	shift 2
	for ((i = 1; i <= runs; i++)); do
		if ((i == runs)); then
			for _ in $(seq "$(nproc)"); do
				yes >/dev/null &
				busy+=($!)
			done
		fi
		local start=$SECONDS
		build/scm interop run --kernel "$@" --report "$out/$name-$i.json" >"$out/$name-$i.txt" 2>&1 ||
			{ echo "$name, run $i: exit status $?" >&2; cat "$out/$name-$i.txt" >&2; exit 1; }
		said=$(build/scm interop compare --exact "$out/$name-1.json" "$out/$name-$i.json") || { echo "$said" >&2; exit 1; }
		echo "$name, run $i: $((SECONDS - start)) s$([ ${#busy[@]} -eq 0 ] || echo ', every core busy'): $said"
		stop
	done
}

repeat core "${1:-20}"
repeat full "${2:-3}" --peers build/peers/peers.json
