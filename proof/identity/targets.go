//go:build linux

package identity

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	machines "github.com/scm-rights/scm/proof/target"
)

// A target is an architecture, a libc, and a backend to build a program with.
type target struct {
	arch, libc, backend string
	cc                  string   // the C compiler, for cgo
	flags               []string // for go build
}

// noLibc is the libc of a program without C.
const noLibc = "-"

// backendsOf returns the targets for both backends on another architecture. Programs that use cgo are linked
// statically, because an emulated machine has no shared libraries. They use the pure Go versions of packages net
// and os/user.
func backendsOf(t machines.Target) (purego, cgo target) {
	purego = target{arch: t.Arch, libc: noLibc, backend: "purego", flags: []string{"-tags=scm_purego"}}
	cgo = target{
		arch: t.Arch, libc: t.Libc, backend: "cgo", cc: strings.Join(t.Compiler, " "),
		flags: []string{"-tags=netgo,osusergo", "-ldflags=-linkmode=external -extldflags=-static"},
	}
	return purego, cgo
}

// targets returns the targets whose programs this machine runs without an emulator. The first target
// of an architecture is compared with all others of the same architecture.
func targets() []target {
	pure := func(arch string) target {
		return target{arch: arch, libc: noLibc, backend: "purego", flags: []string{"-tags=scm_purego"}}
	}
	glibc := func(arch, cc string) target {
		return target{arch: arch, libc: "glibc", backend: "cgo", cc: cc}
	}
	if runtime.GOARCH != "amd64" {
		return []target{pure(runtime.GOARCH), glibc(runtime.GOARCH, "gcc")}
	}
	return []target{
		pure("amd64"),
		glibc("amd64", "gcc -m64"),
		{
			arch: "amd64", libc: "musl", backend: "cgo", cc: "musl-gcc",
			// Link statically, because musl's loader may not be installed.
			flags: []string{"-ldflags=-linkmode=external -extldflags=-static"},
		},
		pure("386"),
		// gcc-multilib conflicts with the cross compilers, so it may be missing. Without it, gcc -m32
		// needs -I to find a header.
		glibc("386", "gcc -m32 -I/usr/include/x86_64-linux-gnu"),
	}
}

// compiles returns an error if the C compiler or the libc of the target is missing.
func (t target) compiles() error {
	if t.cc == "" {
		return nil
	}
	return machines.Compiles(strings.Fields(t.cc)...)
}

// build builds a package of the repository at root into the folder dir. overlay is the file for
// go build -overlay, or "".
func (t target) build(root, dir, pkg, overlay string) (path string, err error) {
	if err := t.compiles(); err != nil {
		return "", err
	}
	path = filepath.Join(dir, strings.Join([]string{filepath.Base(pkg), t.arch, t.libc, t.backend}, "-"))
	root, pkg = machines.Folder(root, pkg)
	args := append([]string{"build", "-C", root, "-o", path}, t.flags...)
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	if out, err := machines.Go(t.arch, t.cc, append(args, pkg)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", t, err, out)
	}
	return path, nil
}

func (t target) String() string {
	words := []string{t.arch, t.libc, t.backend}
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == noLibc }), " ")
}
