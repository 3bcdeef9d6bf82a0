#!/usr/bin/env bash
# Lists what is missing for a release and what only the owner of the project can supply. It fails if there is anything.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=0
missing() {
	echo "release-missing: $*"
	missing=1
}
module=$(sed -n 's/^module //p' go.mod)
GIT_TERMINAL_PROMPT=0 timeout 60 git ls-remote --exit-code "https://$module" HEAD >/dev/null 2>&1 ||
	missing "a repository at https://$module, the path of the module in go.mod"
! grep -q 'report a vulnerability to the person who gave you the checkout' SECURITY.md ||
	missing "an address for reports of vulnerabilities, in SECURITY.md"
# A shallow clone does not show its history.
if [ "$(git rev-parse --is-shallow-repository)" != false ]; then
	missing "the whole history: this is not a full clone"
elif [ -n "$(git log --all --format=%h -- docs/findings docs/findings.md)" ]; then
	missing "a history without docs/findings: publish a fresh root commit, as RELEASING.md says"
fi
# These sentences are true until the first release.
while read -r place; do
	missing "what replaces the sentence in $place"
done < <(grep -nEio '[^.:]*(no release yet|no tag yet|nothing has been released|not published|not yet at the address|not (been )?run yet|will be at)' README.md CHANGELOG.md SECURITY.md docs/*.md)
while read -r place; do
	missing "a green run of the step with $place"
done < <(grep -Hn 'continue-on-error: ' .github/workflows/ci.yml)
exit "$missing"
