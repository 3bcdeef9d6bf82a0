// Package target is the table of the machines that the proofs are about: architectures and
// libcs, with the compiler and the emulator of each. tools/setup reads the same table.
package target

import (
	_ "embed"
	"os/exec"
	"runtime"
	"strings"
)

//go:embed targets.txt
var table string

// A Target is an architecture and a libc.
type Target struct {
	Arch, Libc string
	Foreign    bool     // whether make foreign plays there
	Compiler   []string // with its options
	qemu       string
}

// All returns the targets, in the order of the table.
func All() (all []Target) {
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		w := strings.Fields(line)
		all = append(all, Target{Arch: w[0], Libc: w[1], Foreign: w[2] == "yes", qemu: w[3], Compiler: w[5:]})
	}
	return all
}

// Native reports whether this machine runs the target's programs itself.
func (t Target) Native() bool {
	return t.Arch == runtime.GOARCH || t.Arch == "386" && runtime.GOARCH == "amd64"
}

// Emulator returns the path of what runs the target's programs here: "" is the machine itself.
func (t Target) Emulator() (string, error) {
	if t.Native() {
		return "", nil
	}
	return exec.LookPath("qemu-" + t.qemu + "-static")
}
