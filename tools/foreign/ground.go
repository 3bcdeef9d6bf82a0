//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/fdtest"
)

// ground is an architecture, a libc and a backend to stand on. The backend in pure Go has no libc.
// Where qemu's name of the architecture is not Go's it is there.
type ground struct {
	arch, libc string
	cc         string
	qemu       string
}

var grounds = []ground{
	{"386", "glibc", "gcc -m32 -isystem /usr/include/x86_64-linux-gnu", ""},
	{"386", "", "", ""},
	// The C library's tests have the kernel's headers, which are not beside musl's.
	{"amd64", "musl", "musl-gcc -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu", ""},
	{"arm", "glibc", "arm-linux-gnueabihf-gcc", ""},
	{"arm", "", "", ""},
	{"arm64", "glibc", "aarch64-linux-gnu-gcc", "aarch64"},
	{"arm64", "", "", "aarch64"},
	{"mips", "glibc", "mips-linux-gnu-gcc", ""},
	{"mips", "", "", ""},
	{"ppc64le", "glibc", "powerpc64le-linux-gnu-gcc", ""},
	{"ppc64le", "", "", ""},
	{"riscv64", "glibc", "riscv64-linux-gnu-gcc", ""},
	{"riscv64", "", "", ""},
	{"s390x", "glibc", "s390x-linux-gnu-gcc", ""},
	{"s390x", "", "", ""},
}

// errMissing is of a ground that this machine has no tool for.
var errMissing = errors.New("not run")

func (g ground) backend() string {
	if g.libc == "" {
		return "purego"
	}
	return "cgo"
}

// name is what files and peers of the ground are called by.
func (g ground) name() string {
	if g.libc == "" {
		return g.arch + "-purego"
	}
	return g.arch + "-" + g.libc
}

// out is the folder for what is built for the ground.
func (g ground) out(name string) string { return filepath.Join("build/foreign", g.name(), name) }

// native tells whether this machine runs the ground's programs itself.
func (g ground) native() bool {
	return g.arch == runtime.GOARCH || g.arch == "386" && runtime.GOARCH == "amd64"
}

// ownRunner tells whether the ground's runner is run: once an architecture, since its calls are Go's own
// on either backend, and not under an emulator, which would be asked in the kernel's place.
func (g ground) ownRunner() bool {
	return g.cc == "" && g.native() && g.arch != runtime.GOARCH
}

// narrow tells whether pointers have 32 bits. The pair's room then admits one descriptor, where it
// otherwise admits two.
func (g ground) narrow() bool {
	return slices.Contains([]string{"386", "arm", "mips"}, g.arch)
}

// emulator is the path of the ground's emulator, or "".
func (g ground) emulator() (string, error) {
	if g.native() {
		return "", nil
	}
	name := g.qemu
	if name == "" {
		name = g.arch
	}
	path, err := exec.LookPath("qemu-" + name + "-static")
	if err != nil {
		return "", fmt.Errorf("%w: %w", errMissing, err)
	}
	return path, nil
}

// tools looks whether all that the ground needs is there.
func (g ground) tools() error {
	if _, err := g.emulator(); err != nil {
		return err
	}
	// The specs of what is said to the kernel need it where they need no emulator.
	if _, err := exec.LookPath("strace"); err != nil && g.native() {
		return fmt.Errorf("%w: %w", errMissing, err)
	}
	if g.cc == "" {
		return nil
	}
	// Some compilers remove their output first, and would replace os.DevNull by a file.
	dir, err := os.MkdirTemp("", "foreign")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cc := append(strings.Fields(g.cc), "-static", "-x", "c", "-", "-o", filepath.Join(dir, "program"))
	compile := exec.Command(cc[0], cc[1:]...)
	compile.Stdin = strings.NewReader("#include <sys/socket.h>\nint main(void) { return 0; }\n")
	if text, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s: %w %s", errMissing, g.cc, err, firstLine(text))
	}
	return nil
}

// command is how a program of the ground is run here.
func (g ground) command(program string, args ...string) ([]string, error) {
	emulator, err := g.emulator()
	if err != nil || emulator == "" {
		return append([]string{program}, args...), err
	}
	return append([]string{emulator, program}, args...), nil
}

// environ is the environment in which a ground's tests run. A spec that lacks something skips: what
// the grounds need was looked for before.
func (g ground) environ() ([]string, error) {
	emulator, err := g.emulator()
	return append(os.Environ(), "SCM_TEST_ALONE=1", "CI=", fdtest.EmulatorVariable+"="+emulator), err
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "# ")
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return line
}
