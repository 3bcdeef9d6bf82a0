#!/bin/sh
# run.sh BUILD TITLE WRAPPER PROGRAM...: run each program, with the wrapper if it is not empty,
# and print a TAP stream in which each program is a test, and its cases are a subtest. A program
# that hangs is killed. The standard error of a program becomes comments.
build=$1
title=$2
wrapper=$3
shift 3
target=${title%% *}
number=0
passed=0
skipped=0
failed=
limit="timeout 120"
command -v timeout >/dev/null || limit= # macOS has none
echo "TAP version 14"
for program; do
	name=$target/$(basename "$program" .sh)
	number=$((number + 1))
	output=$build/$target-${program##*/}
	# shellcheck disable=SC2086 # these are a command and its arguments
	$limit $wrapper "$program" >"$output.tap" 2>"$output.err"
	status=$?
	echo "# Subtest: $name"
	awk '{ print "    # " $0 }' "$output.err"
	# Ends with 0 if a case passed, and with 2 if every case was skipped.
	awk -v name="$number - $name" -v status=$status '
		{ print "    " $0 }
		/^(not )?ok / { cases++ }
		/^not ok / { failed++ }
		/^ok / && !/ # SKIP / { passed++ }
		/^1[.][.][0-9]+$/ { plan = $0 }
		END {
			if (status == 124)
				why = "it did not end within 120 seconds"
			else if (status != 0)
				why = "exit status " status
			else if (failed > 0)
				why = "cases failed"
			else if (plan != "1.." (cases + 0))
				why = "it ended after " (cases + 0) " cases"
			if (why != "") {
				print "not ok " name " # " why
				exit 1
			}
			print "ok " name (passed == 0 ? " # SKIP every case was skipped" : "")
			exit passed > 0 ? 0 : 2
		}' "$output.tap"
	case $? in
	0) passed=$((passed + 1)) ;;
	2) skipped=$((skipped + 1)) ;;
	*) failed="$failed ${program##*/}" ;;
	esac
done
if [ -z "$failed" ] && [ "$passed" -eq 0 ]; then
	number=$((number + 1))
	failed=" every program was skipped"
	echo "not ok $number - $target #$failed"
fi
echo "1..$number"
if [ -n "$failed" ]; then
	echo "# $title: failed:$failed"
	exit 1
fi
echo "# $title: $passed passed, $skipped skipped"
