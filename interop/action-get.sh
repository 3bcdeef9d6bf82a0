#!/usr/bin/env bash
# The first step of action.yml. It downloads the programs of a release, checks them, and sets the output folder. If there is
# no release of the checkout's version, or if the input version is "source", it sets the output source instead, and the next
# steps build the programs. Any other failure ends it with status 4. SCM_RELEASES is the address of other releases.
set -euo pipefail

broken() {
	echo "::error title=scm interop::$1"
	echo "status=4" >>"$GITHUB_OUTPUT"
	exit 4
}
trap 'broken "$BASH_COMMAND failed; the log of this step shows why"' ERR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=${VERSION:-}
version=${version#v}
explicit=$version
[ -n "$version" ] || version=$(sed -n 's/^#define SCM_VERSION "\(.*\)"/\1/p' "$here/csrc/scm_rights.h")
if [ "$version" = source ]; then
	echo "source=yes" >>"$GITHUB_OUTPUT"
	exit
fi
arch=$(uname -m)
case $arch in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
arm*) arch=arm ;;
i?86) arch=386 ;;
esac
url=${SCM_RELEASES:-https://github.com/scm-rights/scm/releases/download}/v$version
archive=scm-$version-linux-$arch.tar.gz
folder=$(mktemp -d "${RUNNER_TEMP:-/tmp}/scm-XXXXXX")
# get FILE: downloads a file of the release, and sets code to the status of HTTP, 000 if there was no answer.
get() {
	code=$(curl -sSL --retry 2 -o "$folder/$1" -w '%{http_code}' -- "$url/$1") || code=000
}
get SHA256SUMS
case $code in
200) ;;
404)
	[ -z "$explicit" ] || broken "$url does not exist; to build the programs, set the input version to source"
	echo "$url does not exist: building scm from source"
	rm -r "$folder"
	echo "source=yes" >>"$GITHUB_OUTPUT"
	exit
	;;
*) broken "cannot download $url/SHA256SUMS (status $code)" ;;
esac
sum=$(awk -v name="$archive" '$2 == name' "$folder/SHA256SUMS")
[ -n "$sum" ] || broken "$url has no $archive; to build the programs, set the input version to source"
get "$archive"
[ "$code" = 200 ] || broken "cannot download $url/$archive (status $code)"
(cd "$folder" && sha256sum -c <<<"$sum") || broken "$url/$archive does not have the checksum in SHA256SUMS"
tar -xzf "$folder/$archive" -C "$folder" --strip-components=1
rm "$folder/$archive"
echo "folder=$folder" >>"$GITHUB_OUTPUT"
