#!/usr/bin/env bash
# Prints what only the owner of the project can do for a release, in order. It fails if a step before the tags is left,
# or if the tag of scmvet is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

step=0 missing=0
# left prints a step. must prints one that has to be done before the tags.
left() {
	step=$((step + 1))
	printf '%s\n' "$step. $1" "${@:2}" | fold -s -w 120 | sed '2,$s/^/   /; s/ *$//'
}
must() {
	missing=1
	left "$@"
}
module=$(sed -n 's/^module //p' go.mod)
tag=v$(sed -n 's/^#define SCM_VERSION "\(.*\)"/\1/p' csrc/scm_rights.h)
findings=$(git log --all --name-only --format= -- docs/findings docs/findings.md | sed -n 's|^docs/findings/\([a-z].*\)\.md$|\1|p' | sort -u | paste -sd ' ')
steps=$(grep -c 'continue-on-error: ' .github/workflows/ci.yml || true)

# A shallow clone does not show its history.
[ "$(git rev-parse --is-shallow-repository)" = false ] || must "The whole history: this is not a full clone"
[ -z "$findings" ] || must "Reports, before anything is public: git log --all -- docs/findings has pages about faults of" \
	"$findings." \
	"Send each one that is still unreported to its maintainers, privately if a partner could exploit it (CONTRIBUTING.md)."
GIT_TERMINAL_PROMPT=0 timeout 60 git ls-remote --exit-code "https://$module" HEAD >/dev/null 2>&1 ||
	must "Repository: there is none at https://$module, the path in go.mod." \
		"Create it, empty. With another name, change the path in every go.mod, import and page first."
sed -n '/^## Report a vulnerability$/,$p' SECURITY.md | grep -E 'https://|@' >/dev/null ||
	must "Vulnerabilities: replace the last paragraph of SECURITY.md with an address." \
		"GitHub can supply one: private vulnerability reporting, in the settings of the repository."
[ -z "$findings" ] || must "Fresh root commit: this history must not be published. In a clone: git checkout --orphan public &&" \
	"git commit -m 'scm: import', delete the other branches, the tags and the remote, and push only public."
[ "$steps" = 0 ] || must "First runs on GitHub: ci.yml has $steps steps with continue-on-error, which have never run (macOS and FreeBSD)." \
	"Watch them: remove it where the step has passed, mend the others, and change the pages that RELEASING.md names."
[[ $tag = *-dev ]] || grep -q 'Nothing has been released yet' README.md && must "Version: go run ./tools/version $(sed 's/^v//; s/-dev$//' <<<"$tag"). Commit what it changes."
[ -n "$(git tag -l "$tag")" ] || left "Tags: start gh workflow run release.yml --ref BRANCH, which publishes nothing. Watch the job release (podman, cargo)" \
	"and its artifact dist. When it is green, push cmd/scmvet/$tag and then $tag, which nothing can take back." \
	"Watch the job publish. Then try what has never run: gh attestation verify with an archive, docs/ci/github.yml and" \
	"docs/ci/gitlab.yml in other repositories, go install $module/cmd/scm@$tag." \
	"At the end: go run ./tools/version NEXT-dev."
[ -z "$(git tag -l "$tag")" ] || [ "$(git rev-list -n 1 "$tag")" = "$(git rev-list -n 1 "cmd/scmvet/$tag" 2>/dev/null)" ] ||
	must "Tag of scmvet, which is a module of its own: put cmd/scmvet/$tag on the commit of $tag, and push it."
exit "$missing"
