#!/bin/sh
# run.sh TITLE WRAPPER PROGRAM...: run each program, with the wrapper if it is not
# empty, and print what ran and what failed. A program that hangs is killed. One
# that exits with status 77 skipped all its cases.
title=$1
wrapper=$2
shift 2
passed=0
skipped=0
failed=
limit="timeout 120"
command -v timeout >/dev/null || limit= # macOS has none
for program; do
	echo "# $title: ${program##*/}"
	# shellcheck disable=SC2086 # these are a command and its arguments
	$limit $wrapper "$program"
	case $? in
	0) passed=$((passed + 1)) ;;
	77) skipped=$((skipped + 1)) ;;
	*) failed="$failed ${program##*/}" ;;
	esac
done
if [ -n "$failed" ]; then
	echo "# $title: failed:$failed"
	exit 1
fi
echo "# $title: $passed passed, $skipped skipped"
# A run in which every program was skipped has tested nothing.
[ "$passed" -gt 0 ]
