#!/bin/sh
# tool.sh COMMAND ARGUMENT...: run a tool that may not be installed.
if ! command -v "$1" >/dev/null; then
	echo "skip: $1: not found"
	[ "$CI" != true ]
	exit
fi
echo "$1"
exec "$@"
