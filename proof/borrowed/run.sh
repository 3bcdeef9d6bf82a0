#!/usr/bin/env bash
# Runs tests that others wrote with our functions instead of theirs, in build/borrowed. For each suite it prints the tests
# passed, failed and skipped, the sends and receives by csrc or scm, and those that preload passed on to the kernel.
set -euo pipefail
cd "$(dirname "$0")/../.."

nix=0.32.0
sendfd=0.4.5
passfd=0.1.6

at=$PWD/build/borrowed
export CARGO_TARGET_DIR=$at/target
preload=$at/preload.so
red=0

# suite NAME VERSION COMMAND…: runs tests, which print a line for each. It fails unless they send and receive, and as many
# pass as the table in trust.md says.
suite() {
	local name=$1 version=$2 log=$at/$1.log status=0 passed want
	want=$(sed '/^| tests | version /,/^$/!d' docs/trust.md | grep -w "${name%-*}" | cut -d'|' -f4)
	shift 2
	: >"$at/calls"
	timeout 1200 "$@" &>"$log" || status=$?
	passed=$(count 'ok|PASS')
	echo "| $name | $version | $passed | $(count 'FAIL(ED)?|ERROR') | $(count 'ignored.*|skipped.*|SKIP') | $(calls S), $(calls R) | $(calls s), $(calls r) |"
	[ "$status" = 0 ] && [ "$passed" = "$((${want%%,*}))" ] && [ "$(calls S)" != 0 ] && [ "$(calls R)" != 0 ] && return
	echo "$name: status $status; trust.md says that${want}pass, with sends and receives"
	grep -E '(\.\.\.|---) (FAIL|ERROR)' "$log" || tail "$log"
	red=1
}

# count RESULT: prints how many tests of unittest, cargo or go test had a result that matches the regular expression.
count() {
	grep -cE "^.* \.\.\. ($1)\$|^--- ($1): " "$log" || true
}

# calls LETTER: prints how often the tests' processes wrote the letter.
calls() {
	tr -cd "$1" <"$at/calls" | wc -c
}

# replace FILE SED…: puts FILE, changed, into the folder of package borrowed as the go command sees it.
overlay=
replace() {
	local name=${1##*/} from=$1
	shift
	sed -E "$@" "$from" >"$at/$name.txt"
	overlay+="${overlay:+, }\"$PWD/proof/borrowed/$name\": \"$at/$name.txt\""
}

mkdir -p "$at/src"
exec 200>>"$at/calls"
cc -shared -fPIC -std=c99 -D_GNU_SOURCE -O2 -Icsrc -o "$preload" proof/borrowed/preload/preload.c

# Debian's tests for Debian's Python, without the package's other dependencies. apt checks the SHA-256.
[ -d "$at/python" ] || (cd "$at" && apt-get -qq download libpython3.11-testsuite && dpkg-deb -x libpython3.11-testsuite_*.deb python)
suite CPython "$(dpkg-deb -f "$at"/libpython3.11-testsuite_*.deb Version)" \
	env LD_PRELOAD="$preload" /usr/bin/python3 "$at/python/usr/lib/python3.11/test/test_socket.py" -v -k '*SCMRights*'

# cargo vendor checks the SHA-256 of each crate. The crates name the versions of what their tests need.
printf '[package]\nname="borrowed"\nversion="0.0.0"\n[dependencies]\nnix="=%s"\nsendfd="=%s"\npassfd="=%s"\n' \
	"$nix" "$sendfd" "$passfd" >"$at/Cargo.toml"
: >"$at/src/lib.rs"
(cd "$at" && cargo vendor -q >/dev/null)
# crate NAME VERSION ARGUMENT…: the library is only for the tests.
crate() {
	local name=$1 version=$2
	shift 2
	suite "$name" "$version" cargo --config "target.'cfg(unix)'.runner=['env', 'LD_PRELOAD=$preload']" \
		test --locked --manifest-path "$at/vendor/$name/Cargo.toml" "$@"
}
# The two that are left out need timestamps of UDP packets, which Linux does not always add to the first ones.
crate nix "$nix" --test test --all-features -- sys::test_socket --skip test_recvmm2 --skip test_timestamping
crate sendfd "$sendfd" --lib
crate passfd "$passfd" --lib

xsys=$(go list -C proof -m -f '{{.Dir}}' golang.org/x/sys)
for name in syscall_unix_test.go creds_test.go; do
	replace "$xsys/unix/$name" -e 's/^package unix_test/package borrowed_test/' -e 's|^import \(|&"github.com/scm-rights/scm/proof/borrowed"|' \
		-e 's/\bnet\.(FileConn|UnixConn)\b/borrowed.\1/; s/\bunix\.((Send|Recv)msgBuffers)\b/borrowed.\1/' -e "\$a var _ net.Conn"
done
replace "$(go env GOROOT)/src/net/unixsock_readmsg_test.go" -e 's/^package net/package borrowed/; s/testableNetwork\("unix"\)/true/' \
	-e 's|internal/syscall/unix|golang.org/x/sys/unix|; s/unix\.Fcntl\((.*), (.*), 0\)/unix.FcntlInt(uintptr(\1), \2, 0)/'
echo "{\"Replace\": {$overlay}}" >"$at/overlay.json"
for tags in '' scm_purego; do
	suite "Go-${tags:-cgo}" "$(go env GOVERSION), $(basename "$xsys")" env CGO_ENABLED=1 go test -C proof -overlay "$at/overlay.json" -tags "$tags" -count=1 -v \
		-run '^(TestPassFD|TestSendmsgBuffers|TestSCMCredentials|TestUnixConnReadMsgUnixSCMRightsCloseOnExec)$' ./borrowed
done
exit $red
