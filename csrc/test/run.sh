#!/bin/sh
# run.sh TITLE WRAPPER PROGRAM...: run each program, with the wrapper if it is not
# empty, and print what ran and what failed. A program that hangs is killed.
title=$1
wrapper=$2
shift 2
failed=
limit="timeout 120"
command -v timeout >/dev/null || limit= # macOS has none
for program; do
	echo "# $title: ${program##*/}"
	# shellcheck disable=SC2086 # these are a command and its arguments
	$limit $wrapper "$program" || failed="$failed ${program##*/}"
done
if [ $# -eq 0 ]; then
	echo "# $title: nothing ran"
	exit 1
fi
if [ -n "$failed" ]; then
	echo "# $title: failed:$failed"
	exit 1
fi
echo "# $title: all $# passed"
