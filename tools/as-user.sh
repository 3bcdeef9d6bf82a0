#!/usr/bin/env bash
# Runs a command as the user nobody, in a copy of this tree, with no compiler in PATH except Go's.
#
#     tools/as-user.sh COMMAND ARG…
#
# If $SCM_PARTNERS names a list of programs, the user gets a copy of the programs and of the list.
#
# It needs root. Afterwards it removes the copy with its Go caches and its HOME.
set -euo pipefail
cd "$(dirname "$0")/.."

uid=65534
if [ "$(id -u)" != 0 ]; then
	echo "as-user: not root" >&2
	exit 1
fi
as_user=(setpriv --reuid="$uid" --regid="$uid" --clear-groups --inh-caps=-all)
"${as_user[@]}" test -w "${TMPDIR:-/tmp}" || export TMPDIR=/tmp
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
chmod 755 "$home"
mkdir "$home/bin" "$home/scm"
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - | tar -xf - -C "$home/scm"

# Leave out the caller's home directory, whose programs the user may not run.
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
partners=
if [ -n "${SCM_PARTNERS-}" ]; then
	partners=$home/partners/list.json
	mkdir "$home/partners"
	grep -o '"/[^"]*"' "$SCM_PARTNERS" | tr -d '"' | sort -u | xargs -rd '\n' cp -t "$home/partners"
	sed "s|\"/[^\"]*/|\"$home/partners/|" "$SCM_PARTNERS" >"$partners"
fi
rm -f "$home/bin/go" "$home/bin/gofmt"
ln -s "$(go env GOROOT)/bin/go" "$(go env GOROOT)/bin/gofmt" "$home/bin/"
# The user reads the caller's build cache, and writes to a cache of its own. The copy's directory is always new, so
# that only -trimpath lets builds use the cache.
cp -al "$(go env GOCACHE)" "$home/cache" 2>/dev/null || { rm -rf "$home/cache" && mkdir "$home/cache"; }
find "$home" -path "$home/cache" -prune -o -exec chown -h "$uid:$uid" {} +
find "$home/cache" -type d -exec chown "$uid:$uid" {} +

# Not CI: this user has no C compiler, and the tests that need one are to be skipped.
keep=()
for name in SLOW TMPDIR ${!SCM_@} SSL_CERT_FILE SSL_CERT_DIR http_proxy https_proxy no_proxy; do
	[ -z "${!name-}" ] || keep+=("$name=${!name}")
done
status=0
(
	cd "$home/scm"
	exec "${as_user[@]}" env -i "${keep[@]}" HOME="$home" \
		PATH="$home/bin" LANG=C.UTF-8 GOPROXY="$(go env GOPROXY)" GOSUMDB="$(go env GOSUMDB)" \
		GOFLAGS="${GOFLAGS-} -modcacherw -trimpath" GOCACHE="$home/cache" GOTOOLCHAIN=local SCM_PARTNERS="$partners" "$@"
) || status=$?
exit "$status"
