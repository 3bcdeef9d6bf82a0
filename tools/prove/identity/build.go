//go:build linux

package identity

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	machines "github.com/scm-rights/scm/internal/target"
)

// A target is an architecture, the libc of its C, and the backend that is built.
type target struct {
	arch, libc, backend string
	cc                  string   // of cgo
	flags               []string // of go build
}

// none is the libc of a program without C.
const none = "-"

// targets are what this machine runs without an emulator. The first of an
// architecture is the one that the others are compared with.
func targets() []target {
	pure := func(arch string) target {
		return target{arch: arch, libc: none, backend: "purego", flags: []string{"-tags=purego"}}
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
		// musl's loader need not be installed.
		{arch: "amd64", libc: "musl", backend: "cgo", cc: "musl-gcc", flags: []string{"-ldflags=-linkmode=external -extldflags=-static"}},
		pure("386"),
		// gcc-multilib conflicts with the cross compilers; without it a header lies elsewhere.
		glibc("386", "gcc -m32 -I/usr/include/x86_64-linux-gnu"),
	}
}

// compiles reports whether the C compiler of a target is there, and its libc.
func (t target) compiles() error {
	if t.cc == "" {
		return nil
	}
	return machines.Compiles(strings.Fields(t.cc)...)
}

// build builds a package of the repository at root into the folder dir, with an
// overlay if one is given.
func (t target) build(root, dir, pkg, overlay string) (path string, err error) {
	if err := t.compiles(); err != nil {
		return "", err
	}
	path = filepath.Join(dir, strings.Join([]string{filepath.Base(pkg), t.arch, t.libc, t.backend}, "-"))
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
	return strings.Join(slices.DeleteFunc([]string{t.arch, t.libc, t.backend}, func(s string) bool { return s == none }), " ")
}
