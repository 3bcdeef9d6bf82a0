// Package golden compares the control buffers of both backends, for 0 to 253 descriptors, on every architecture and
// libc for which it finds a compiler, under qemu-user if necessary. On linux/ppc64, Go has no cgo.
//
// If a tool for an architecture is missing, the architecture is listed as not run. With CI=true that is an error.
package golden

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/proof/must"
	machines "github.com/scm-rights/scm/proof/target"
)

const out = "build/golden"

// A Row describes what was compared on a target, or why nothing was compared.
type Row struct {
	Arch, Libc, how string
	buffers, Bytes  int
	Err             error
}

// run builds the program that compares the backends, and runs it.
func (r *Row) run(t machines.Target) {
	emulator := must.Get(t.Emulator())
	must.OK(machines.Compiles(t.Compiler...))
	cc := slices.Clone(t.Compiler)
	cc[0] = must.Get(exec.LookPath(cc[0]))
	if strings.Contains(cc[0], "/") {
		cc[0] = must.Get(filepath.Abs(cc[0]))
	}
	bin := must.Get(filepath.Abs(filepath.Join(out, t.Arch+"-"+t.Libc)))
	must.Run(machines.Go(t.Arch, strings.Join(cc, " "), "build", "-C", "proof", "-tags=netgo,osusergo",
		"-ldflags=-linkmode=external -extldflags=-static", "-o", bin, "./golden/backends"))
	command := []string{bin}
	if emulator != "" {
		r.how = filepath.Base(emulator)
		command = []string{emulator, bin}
	}
	text := must.Run(exec.Command(command[0], command[1:]...))
	must.Get(fmt.Sscanf(text, "%d control buffers, %d bytes", &r.buffers, &r.Bytes))
}

// Compare runs the comparison on the targets of the given architectures, or on all targets if archs is empty.
func Compare(archs []string) (rows []Row) {
	must.OK(os.MkdirAll(out, 0o777))
	for _, t := range machines.All() {
		if t.Arch == "ppc64" || len(archs) > 0 && !slices.Contains(archs, t.Arch) {
			continue
		}
		r := Row{Arch: t.Arch, Libc: t.Libc, how: "natively"}
		r.Err = must.Try(func() { r.run(t) })
		rows = append(rows, r)
	}
	for _, arch := range archs {
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Arch == arch }) {
			must.Failf("%s is not the architecture of a target with cgo", arch)
		}
	}
	return rows
}

// Prove calls Compare, and prints a table.
func Prove(archs []string) {
	const line = "%-8s %-6s %-24s %8v %8v  %v\n"
	fmt.Printf(line, "arch", "libc", "run", "buffers", "bytes", "cgo, purego")
	var sum Row
	missing, failed := 0, 0
	for _, r := range Compare(archs) {
		switch {
		case r.Err == nil:
			fmt.Printf(line, r.Arch, r.Libc, r.how, r.buffers, r.Bytes, "same")
			sum.buffers += r.buffers
			sum.Bytes += r.Bytes
			continue
		case errors.Is(r.Err, machines.ErrMissing):
			missing++
		default:
			failed++
		}
		fmt.Printf(line, r.Arch, r.Libc, r.how, "", "", r.Err)
	}
	fmt.Printf("golden: %d control buffers, %d bytes: %d differ, %d not run\n", sum.buffers, sum.Bytes, failed, missing)
	if failed > 0 || sum.buffers == 0 || missing > 0 && os.Getenv("CI") == "true" {
		must.Failf("%d differ, %d not run", failed, missing)
	}
}
