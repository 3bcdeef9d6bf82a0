#!/usr/bin/env bash
# Runs a command as nobody, in a copy of this tree, where no compiler but Go's is in PATH.
#
#     tools/as-user.sh COMMAND ARG…
#
# It needs root. What the command leaves in build/test of the copy is brought back. The
# copy, its Go caches and its HOME are in a folder that goes with it.
set -euo pipefail
cd "$(dirname "$0")/.."

uid=65534
if [ "$(id -u)" != 0 ]; then
	echo "as-user: not root" >&2
	exit 1
fi
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
chmod 755 "$home"
mkdir "$home/bin" "$home/scm"
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - | tar -xf - -C "$home/scm"

# What lies in the caller's own folder is not the user's to run.
IFS=: read -ra folders <<<"$PATH"
for folder in "${folders[@]}"; do
	[ "${folder#"$HOME"}" = "$folder" ] || continue
	for program in "$folder"/*; do
		case ${program##*/} in
		*gcc* | *g++* | cc | c++ | *-cc | c89* | c99* | *clang* | *cpp* | tcc | javac | rust* | cargo*) ;;
		*) [ ! -x "$program" ] || [ -e "$home/bin/${program##*/}" ] || ln -s "$program" "$home/bin/" ;;
		esac
	done
done
rm -f "$home/bin/go" "$home/bin/gofmt"
ln -s "$(go env GOROOT)/bin/go" "$(go env GOROOT)/bin/gofmt" "$home/bin/"
# What the caller has compiled need not be compiled once more: the user reads it, and writes beside it.
cp -al "$(go env GOCACHE)" "$home/cache" 2>/dev/null || { rm -rf "$home/cache" && mkdir "$home/cache"; }
find "$home" -path "$home/cache" -prune -o -exec chown -h "$uid:$uid" {} +
find "$home/cache" -type d -exec chown "$uid:$uid" {} +

keep=()
for name in SSL_CERT_FILE SSL_CERT_DIR http_proxy https_proxy no_proxy; do
	[ -z "${!name-}" ] || keep+=("$name=${!name}")
done
status=0
(
	cd "$home/scm"
	exec setpriv --reuid="$uid" --regid="$uid" --clear-groups --inh-caps=-all env -i "${keep[@]}" HOME="$home" \
		PATH="$home/bin" LANG=C.UTF-8 GOPROXY="$(go env GOPROXY)" GOSUMDB="$(go env GOSUMDB)" \
		GOFLAGS=-modcacherw GOCACHE="$home/cache" GOTOOLCHAIN=local "$@"
) || status=$?
mkdir -p build/test
cp "$home/scm/build/test/"* build/test/ 2>/dev/null || true
exit "$status"
