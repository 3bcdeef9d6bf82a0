#!/usr/bin/env bash
# Writes what a release consists of to build/dist: an archive of static programs for each architecture, a container image of
# them, a source archive of the C library, lists of the modules in scm and scmvet (SBOMs), and SHA256SUMS.
#
#     tools/dist.sh [GOARCH…]      the default is 386 and the architectures in proof/target/machines.txt
#
# The same source and tools give the same bytes in any directory. The version is SCM_VERSION in csrc/scm_rights.h. It needs
# Debian, whose packages have the licence and the version of glibc.
set -eEuo pipefail
trap 'echo "dist: line $LINENO failed" >&2' ERR
cd "$(dirname "$0")/.."
umask 022

out=build/dist
stage=build/_dist # go ignores this name, and so the templates in it
version=$(sed -n 's/^#define SCM_VERSION "\(.*\)"/\1/p' csrc/scm_rights.h)
archs=("$@")
[ $# -gt 0 ] || mapfile -t archs < <(echo 386 && awk '!/^#/ { print $1 }' proof/target/machines.txt)

# Debian has the licence of its Go in the folder of the package. Find it before anything is built.
go_licence=$(go env GOROOT)
if [ ! -e "$go_licence/LICENSE" ]; then
	go_licence=$(dpkg-query -S "$(realpath "$go_licence/bin/go")")
	go_licence=/usr/share/doc/${go_licence%%:*}
	[ -e "$go_licence/copyright" ] || { echo "dist: no licence in $(go env GOROOT) or $go_licence" >&2; exit 1; }
fi

rm -rf "$out" "$stage"
mkdir -p "$out" "$stage"

export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false '-ldflags=-s -w -X github.com/scm-rights/scm/cmd/scm/internal/cli.release=v$version'"
# make and cargo read these. The libc is glibc, because musl's sendmsg and recvmsg give some peers other results. A crate's
# messages contain the paths of its files.
export LDFLAGS='-static -s'
export RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"

# reproducible ARGS…: runs tar. No file in the archive has a date, an owner or permissions of its own, except the right to execute it.
reproducible() {
	tar --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mtime='2000-01-01 UTC' --mode=u=rwX,go=rX,a-s "$@"
}

# pack FOLDER: writes the archive of a folder in the stage.
pack() {
	reproducible -C "$stage" -cf - "$1" | gzip -n9 >"$out/$1.tar.gz"
}

# crates: lists the crates of the Rust peers, each with its folder.
crates() {
	cargo tree --quiet --locked --manifest-path interop/peers/rust/Cargo.toml -e normal --prefix none | sed -n 's/^\([^ ]*\) v\([^ ]*\)\( (\*)\)\?$/\1-\2/p' |
		sort -u | while read -r crate; do
		echo "crates/$crate" "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crate"
	done
}

# modules GOARCH: lists Go's library and the modules in scm and scmvet, each with its folder.
modules() {
	echo "go $go_licence"
	local program
	for program in scm scmvet; do
		GOARCH=$1 go -C cmd/$program list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' .
	done | sort -u
}

# licenses GOARCH LIBC FOLDER: writes the licences of the code by others in the programs of an archive. LIBC is its libc.a.
licenses() {
	local name folder package glibc
	package=$(dpkg-query -S "$(realpath "$2")")
	package=${package%%: *}
	mkdir -p "$3/glibc"
	cp "/usr/share/doc/${package%:*}/copyright" /usr/share/common-licenses/LGPL-2.1 "$3/glibc"
	# The source package of a cross-compiler's libc is not glibc, but says which glibc it was built from.
	# shellcheck disable=SC2016 # dpkg-query expands these
	glibc=$(dpkg-query -W -f '${source:Package} (= ${source:Version}), ${Built-Using}' "$package" | sed -n 's/^\(.*, \)\?glibc (= \([^)]*\)).*/\2/p')
	echo "Debian source package glibc, version ${glibc:?}" >"$3/glibc/version"
	{
		modules "$1"
		if [ -e "$3/../peers/nix" ]; then
			find "$(rustc --print sysroot)/share/doc" -maxdepth 1 \( -name rust -o -name 'libstd-rust*' \) -printf 'rust %p\n'
			crates
		fi
	} | while read -r name folder; do
		mkdir -p "$3/$name"
		find "$folder/" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright-library*' -o -name copyright \) -exec cp -t "$3/$name" {} +
		if [ -z "$(ls "$3/$name")" ]; then
			echo "dist: no licence in $folder" >&2
			exit 1
		fi
	done
	[ ! -e "$3/../peers/nix" ] || ls -d "$3"/rust "$3"/crates/nix-* >/dev/null
}

go build -o "$stage/scm" ./cmd/scm
go build -o "$stage/buildpeers" ./tools/buildpeers
go build -C tools/dist -o "$PWD/$stage/" . tool

for arch in "${archs[@]}"; do
	echo "dist: $arch"
	name=scm-$version-linux-$arch
	to=$stage/$name
	cc=$(sed -n "s/^$arch *glibc *[^ ]* *[^ ]* *[^ ]* *//p" proof/target/targets.txt)
	mkdir -p "$to"/{completions,templates}
	GOARCH=$arch CC=$cc "$stage/buildpeers" -out "build/dist-peers/$arch" -archive "$to/peers" "$arch"
	GOARCH=$arch go build -C cmd/scmvet -o "$PWD/$to/scmvet" .
	# The peer scm-purego is the command itself.
	mv "$to/peers/scm-purego" "$to/scm"
	ln -s ../scm "$to/peers/scm-purego"
	cp LICENSE "$to"
	"$stage/scm" completion bash >"$to/completions/scm.bash"
	"$stage/scm" completion zsh >"$to/completions/_scm"
	"$stage/scm" completion fish >"$to/completions/scm.fish"
	"$stage/scm" interop new-peer --help | sed -n 's/^  \([a-z]*\) \+\([Pp]eer[.][a-z]*\) .*/\1 \2/p' | while read -r language file; do
		"$stage/scm" interop new-peer "$language" >"$to/templates/$file"
	done
	licenses "$arch" "$($cc -print-file-name=libc.a)" "$to/licenses"
	sed "s/@VERSION@/$version/; s/@ARCH@/$arch/" tools/dist/README >"$to/README"
	pack "$name"
done

name=scm_rights-$version
mkdir "$stage/$name"
cp -r LICENSE csrc/* "$stage/$name"
rm "$stage/$name"/*.go "$stage/$name"/*cgo*.h
pack "$name"

name=scm-$version-image
"$stage/dist" "$stage/$name" "$out"/scm-*-linux-*.tar.gz
reproducible -C "$stage/$name" -cf "$out/$name.tar" .

for program in scm scmvet; do
	"$stage/cyclonedx-gomod" bin -json -noserial -notimestamp -version "v$version" -output "$out/$program-$version.cdx.json" "$stage/scm-$version-linux-${archs[0]}/$program" 2>/dev/null
done
cd "$out"
sha256sum -- * >SHA256SUMS
