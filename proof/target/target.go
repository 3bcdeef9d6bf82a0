// Package target lists what the proofs cover: architectures and libcs with the compiler and the emulator of
// each (targets.txt), kernels (kernels.txt), emulated machines that boot them (machines.txt), and versions of systemd
// (systemd.txt). tools/setup reads the same tables.
package target

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

//go:embed targets.txt
var table string

// A Target is an architecture and a libc.
type Target struct {
	Arch, Libc string
	Foreign    bool     // make proof-targets runs the tests on it
	Compiler   []string // with its options
	qemu       string
}

// All returns the targets, in the order of the table.
func All() (all []Target) {
	for _, w := range rows("targets.txt", table, 6) {
		all = append(all, Target{Arch: w[0], Libc: w[1], Foreign: w[2] == "yes", qemu: w[3], Compiler: w[5:]})
	}
	return all
}

// OnePerArch returns the first target of each architecture: the one whose programs run in emulated machines.
func OnePerArch() (list []Target) {
	for _, t := range All() {
		if !slices.ContainsFunc(list, func(other Target) bool { return other.Arch == t.Arch }) {
			list = append(list, t)
		}
	}
	return list
}

// Native reports whether this machine runs the target's programs itself.
func (t Target) Native() bool {
	return t.Arch == runtime.GOARCH || t.Arch == "386" && runtime.GOARCH == "amd64"
}

// ErrMissing means that this machine lacks a tool for the target.
var ErrMissing = errors.New("not run")

// Emulator returns the path of the emulator for the target's programs, or "" if this machine runs them itself.
func (t Target) Emulator() (string, error) {
	if t.Native() {
		return "", nil
	}
	path, err := exec.LookPath("qemu-" + t.qemu + "-static")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return path, nil
}

// Compiles returns an error unless the C compiler and its libc can build a program.
func Compiles(cc ...string) error {
	// Some compilers remove their output first, and would replace os.DevNull by a file.
	dir, err := os.MkdirTemp("", "target")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(cc[0], append(cc[1:], "-x", "c", "-", "-o", filepath.Join(dir, "program"))...)
	cmd.Stdin = strings.NewReader("#include <sys/socket.h>\nint main(void) { return 0; }\n")
	if text, err := cmd.CombinedOutput(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		return fmt.Errorf("%w: %s: %w %s", ErrMissing, strings.Join(cc, " "), err, line)
	}
	return nil
}

// Go returns a go command for an architecture, with cgo if a C compiler is given.
func Go(arch, cc string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cgo := "CGO_ENABLED=0"
	if cc != "" {
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, cgo, "CC="+cc, "GOFLAGS=-buildvcs=false")
	return cmd
}
