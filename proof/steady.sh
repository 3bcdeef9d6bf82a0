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

# outcomes REPORT: prints each case with its verdict and its findings.
outcomes() {
	python3 -c 'if True:
		import json, sys
		for case in json.load(open(sys.argv[1]))["cases"]:
			print(case["name"], case["verdict"], *sorted({f["check"] + "@" + f["peer"] for f in case.get("findings") or []}))' "$1" | sort
}

# repeat NAME RUNS ARGS…
repeat() {
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
		build/scm interop run --kernel "$@" --report "$out/$name-$i.json" >"$out/$name-$i.txt" 2>&1 ||
			{ echo "$name, run $i: exit status $?" >&2; cat "$out/$name-$i.txt" >&2; exit 1; }
		outcomes "$out/$name-$i.json" >"$out/$name-$i.cases"
		diff "$out/$name-1.cases" "$out/$name-$i.cases" || exit
		echo "$name, run $i: $((SECONDS - start)) s$([ ${#busy[@]} -eq 0 ] || echo ', every core busy'): $(wc -l <"$out/$name-$i.cases") cases with the same outcome"
		stop
	done
}

repeat core "${1:-20}"
repeat full "${2:-3}" --peers build/peers/peers.json
