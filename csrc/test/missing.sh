#!/bin/sh
# missing.sh TARGET TOOL WHY: print the TAP stream of a target whose tool is missing.
echo "TAP version 14"
if [ "$CI" = true ]; then
	echo "not ok 1 - $1 # missing: $2: $3, and CI=true"
else
	echo "ok 1 - $1 # SKIP missing: $2: $3"
fi
echo "1..1"
[ "$CI" != true ]
