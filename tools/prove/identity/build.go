//go:build linux

package identity

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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

// errMissing is of a target that this machine has no tool for.
var errMissing = errors.New("not run")

// compiles reports whether the C compiler of a target is there, and its libc.
func (t target) compiles() error {
	if t.cc == "" {
		return nil
	}
	cc := strings.Fields(t.cc)
	if _, err := exec.LookPath(cc[0]); err != nil {
		return fmt.Errorf("%w: %w", errMissing, err)
	}
	// Some compilers remove their output first, and would replace os.DevNull by a file.
	dir, err := os.MkdirTemp("", "identity")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(cc[0], append(cc[1:], "-x", "c", "-", "-o", filepath.Join(dir, "program"))...)
	cmd.Stdin = strings.NewReader("#include <sys/socket.h>\nint main(void) { return 0; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%w: %s: %s", errMissing, t.cc, line)
	}
	return nil
}

// command is go with the target's environment.
func (t target) command(args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cgo := "CGO_ENABLED=0"
	if t.cc != "" {
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+t.arch, cgo, "CC="+t.cc, "GOFLAGS=-buildvcs=false")
	return cmd
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
	if out, err := t.command(append(args, pkg)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", t, err, out)
	}
	return path, nil
}

func (t target) String() string {
	return strings.Join(slices.DeleteFunc([]string{t.arch, t.libc, t.backend}, func(s string) bool { return s == none }), " ")
}
