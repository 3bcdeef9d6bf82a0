#!/usr/bin/env bash
# Copies the tree to a directory, and makes go.mod there require the newest version of each module.
#
#     tools/newest.sh DIRECTORY
#
# -modfile is not enough, because it does not affect the builds that tests start.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf "$1"
mkdir -p "$1"
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - | tar -xf - -C "$1"
cd "$1"
# Tests and tools/as-user.sh ask git for the files of the tree.
git init --quiet
git add --all

mapfile -t direct < <(go list -m -f '{{if not (or .Main .Indirect)}}{{.Path}}@latest{{end}}' all)
go get "${direct[@]}"
go mod tidy
# The modules that replace scm by this tree need the same x/sys.
sys=$(go list -m -f '{{.Path}}@{{.Version}}' golang.org/x/sys)
while read -r gomod; do
	go -C "$(dirname "$gomod")" get "$sys"
done < <(git grep --files-with-matches '^replace github.com/scm-rights/scm ' -- '*/go.mod')
go list -m -f '{{if not (or .Main .Indirect)}}newest: {{.Path}} {{.Version}}{{end}}' all
