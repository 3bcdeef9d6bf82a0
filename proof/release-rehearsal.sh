#!/usr/bin/env bash
# Rehearses a release without the owner's account. A bare repository on this machine takes the place of the one on GitHub: it
# has the files of this checkout in one commit, with the version set, and the tags that RELEASING.md names. From there, the
# script gets the library and installs the commands as a user would, and builds the archives. It does not use checksums of
# sum.golang.org, or the proxy, for scm, which neither has.
#
# As root, with mmdebstrap, it also runs the shell steps of the jobs that have no image, each in a bare chroot, as an ordinary
# user of Debian 13 with the packages that CONTRIBUTING.md names. The jobs with an image make what .ci/run makes. Without root
# or mmdebstrap, it skips the jobs, or fails if CI=true.
set -eEuo pipefail
trap 'echo "release-rehearsal: line $LINENO failed: $BASH_COMMAND" >&2' ERR
cd "$(dirname "$0")/.."

work=$PWD/build/_rehearsal # go ignores this name, and so the Go of the chroots
tree=$work/tree
module=$(sed -n 's/^module //p' go.mod)
version=$(sed -n 's/^#define SCM_VERSION "\([0-9.]*\).*/\1/p' csrc/scm_rights.h)

say() {
	echo "release-rehearsal: $*"
}

# promised TEXT: prints the version or number that follows a text in docs/migrating.md.
promised() {
	sed -n "s|.*$1\([^ ,]*[0-9]\).*|\1|p" "$tree/docs/migrating.md" | head -n 1
}

# user COMMAND…: runs a command in a user's module. Its module cache is new, and has a new name, because another rehearsal may
# have had other files in the same version: the go command remembers what the packages of a folder in this cache import.
user() {
	env -C "$work/user" GOFLAGS=-modcacherw GOMODCACHE="$modules" GOBIN="$work/bin" GONOPROXY="$module" GONOSUMDB="$module" "$@"
}

# pass CGO_ENABLED TAGS: builds README's program, and passes a file with it to itself and to the program in docs/c.md.
pass() {
	user env CGO_ENABLED="$1" go build -tags "$2" -o pass .
	for receive in ./pass ./receive; do
		[ "$(user ./pass file | { read -r _ && user "$receive"; })" = 'the contents of a file' ]
	done
	say "README's program: CGO_ENABLED=$1 ${2:+-tags $2 }works"
}

rm -rf --one-file-system "$work"
mkdir -p "$tree" "$work/user/faulty"
modules=$(mktemp -d "$work/modules.XXXXXX")
git ls-files -z | tar --null -cf - -T - | tar -xf - -C "$tree"
cd "$tree"
go run ./tools/version "$version"
# What else the owner changes before the tags.
sed -i '/continue-on-error: true/d' .github/workflows/ci.yml
sed -i '/^## Report a vulnerability/,$s/^The module is not published.*/Write to security@example.org./' SECURITY.md
export GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0="url.file://$work/scm.git.insteadOf" GIT_CONFIG_VALUE_0="https://$module" \
	GIT_CONFIG_KEY_1=user.name GIT_CONFIG_VALUE_1=rehearsal GIT_CONFIG_KEY_2=user.email GIT_CONFIG_VALUE_2=rehearsal@example.org
git init -q --initial-branch=main .
git add --all --force
git commit -q -m 'scm: import'
mapfile -t tags < <(grep '^6\. Tag the commit' RELEASING.md | grep -oE '[a-z/]*v[0-9.]+[0-9]' | sed "s/[^v]*$/$version/")
printf '%s\n' "${tags[@]}" | xargs -n 1 git tag
git clone -q --bare . "$work/scm.git"
say "one commit with the tags ${tags[*]}"

cd "$work/user"
# README's first block in Go, and the first in C of docs/c.md.
awk '/^```(c|go)$/ && !seen[$0]++ { to = $0 ~ /go/ ? "main.go" : "../receive.c"; next }
	/^```$/ { to = "" } to { print >to }' "$tree/README.md" "$tree/docs/c.md"
printf 'the contents of a file' >file
cat >faulty/faulty.go <<'END'
package faulty

import "syscall"

func receive(sock int, oob []byte) {
	_, n, _, _, _ := syscall.Recvmsg(sock, nil, oob, 0)
	messages, _ := syscall.ParseSocketControlMessage(oob[:n])
	_, _ = syscall.ParseUnixRights(&messages[0])
}
END
user go mod init example.com/user
user go mod graph | sort >before
user go get "$module@v$version"
user go mod tidy
user go mod graph | sort >after
say 'go get adds to go.mod:'
comm -13 before after | sed -n 's/^example.com.user \([^ ]*[.].*\)/\1/p' | tee added
diff added - <<<"$module@v$version
golang.org/x/sys@$(promised 'already present, golang.org/x/sys ')"
for name in net text tools; do
	newest=$(grep -o " golang.org/x/$name@.*" after | sort -V | tail -n 1)
	[ "${newest#*@}" = "$(promised "nothing newer than .*x/$name ")" ]
done
[ "$(wc -l <go.sum)" = $(($(promised 'go.sum` gains up to ') + 2)) ] # for scm itself
say 'go mod graph and go.sum are as docs/migrating.md says'

user go install "$module/cmd/scm@v$version"
user go install "$module/cmd/scmvet@v$version"
user "$work/bin/scm" version | grep "^scm v$version,"
user "$work/bin/scm" interop run --run basics | tail -n 1
user go vet -vettool="$work/bin/scmvet" .
found=$(user go vet -vettool="$work/bin/scmvet" ./faulty 2>&1 || true)
grep 'goes unnoticed (scmflags)' <<<"$found"

cd "$tree"
make dist SETUP=0 ARCH="$(go env GOARCH)"
tar -xzf "build/dist/scm-$version-linux-$(go env GOARCH).tar.gz" -C "$work"
"$work/scm-$version-linux-$(go env GOARCH)/scm" version | grep "^scm v$version,"
tar -xzf "build/dist/scm_rights-$version.tar.gz" -C "$work"
make -C "$work/scm_rights-$version" install PREFIX="$work/usr" >"$work/install.log"
export PKG_CONFIG_PATH=$work/usr/lib/pkgconfig LD_LIBRARY_PATH=$work/usr/lib
[ "$(pkg-config --modversion scm_rights)" = "$version" ]
# shellcheck disable=SC2046 # these are several arguments
cc "$work/receive.c" $(pkg-config --cflags --libs scm_rights) -o "$work/user/receive"
pass 1 ''
pass 1 scm_purego
pass 0 ''

if [ "$(id -u)" != 0 ] || ! command -v mmdebstrap >/dev/null; then
	say 'skip: the shell steps of the workflows, which need root and mmdebstrap'
	[ "${CI-}" != true ]
	exit
fi
chroot=$work/chroot
# container: makes the chroot. A copy of Go and a clone take the place of actions/setup-go and actions/checkout.
container() {
	rm -rf --one-file-system "$chroot"
	mmdebstrap --quiet --variant=minbase trixie "$chroot" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
	cp /etc/hosts /etc/resolv.conf "$chroot/etc"
	cp -r /usr/local/share/ca-certificates "$chroot/usr/local/share"
	cp -rL "$(go env GOROOT)" "$chroot/usr/local/go"
	git clone -q --bare . "$chroot/scm.git"
	git clone -q "$chroot/scm.git" "$chroot/__w/scm"
	mkdir -p "$chroot/home/1001"
	chown -R 1001 "$chroot"/{__w,home/1001,scm.git}
}

# step USER COMMAND: runs a step in the chroot. Its mounts and processes end with it.
step() {
	# shellcheck disable=SC2016 # the other shell expands these
	unshare --mount --pid --fork --kill-child bash -euc '
		mount -t proc proc "$0/proc"
		mount --rbind /sys "$0/sys"
		mount --rbind /dev "$0/dev"
		exec chroot --userspec="$1:$1" "$0" env -u MAKEFLAGS -u MAKEOVERRIDES -u MAKELEVEL -u SETUP "${@:2}"' "$chroot" "$1" HOME=/home/1001 \
		PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin GIT_CONFIG_KEY_0=url.file:///scm.git.insteadOf \
		CI=true GITHUB_REF_NAME="v$version" sh -ec "cd /__w/scm; $2"
}

jobs='' packages=$(sed -n 's/.*apt-get install --no-install-recommends \([a-z0-9 -]*\).*/\1/p' CONTRIBUTING.md)
while read -r job command <&3; do
	if [ "$job" != "${jobs##* }" ]; then
		container
		step 0 "apt-get update && apt-get install -y --no-install-recommends $packages" 3<&-
		jobs+=" $job"
	fi
	user=1001
	[[ $command != sudo\ * ]] || user=0
	say "$job $command"
	step "$user" "${command//sudo /}" 3<&-
done 3< <(awk '/^  [a-z-]+:$/ { job = $1; sub(/:/, "", job) }
	job ~ /^(lint|library|ready)$/ && sub(/^ +(- )?run: /, "") { sub(/ +# .*/, ""); print job, $0 }' .github/workflows/{ci,release}.yml)
[ "$jobs" = ' lint library ready' ]
