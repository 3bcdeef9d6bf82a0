// Package golden compares the control buffers of the backend in Go with the control buffers that the CMSG
// macros of C produce, for 0 to 253 descriptors. It does so for every architecture and libc for which it
// finds a compiler, under qemu-user if necessary.
//
//   - c/golden.c prints the control buffers that the macros produce. The output must be equal to the
//     stored output in internal/pure/testdata/golden.
//   - The tests of internal/pure compare pure Go with the stored output.
//
// If a tool for an architecture is missing, the architecture is listed as not run. With CI=true
// that is an error.
package golden

import (
	"bytes"
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

// A target is an architecture and a libc for which C programs are built.
type target struct{ machines.Target }

const (
	out    = "build/golden"
	stored = "internal/pure/testdata/golden/"
)

// golden returns the file with the stored output. The list of the files says which targets have the same.
func (t target) golden() string {
	list := must.Get(os.ReadFile(stored + "targets"))
	for line := range strings.Lines(string(list)) {
		if words := strings.Fields(line); slices.Contains(words[1:], t.Arch+"-"+t.Libc) {
			return stored + words[0] + ".txt"
		}
	}
	must.Failf("%stargets does not name %s-%s", stored, t.Arch, t.Libc)
	return ""
}

// command returns a command that runs a program of the target, under an emulator if necessary.
func (t target) command(bin string, args ...string) *exec.Cmd {
	if emulator, _ := t.Emulator(); emulator != "" {
		return exec.Command(emulator, append([]string{bin}, args...)...)
	}
	return exec.Command(bin, args...)
}

// runMacros returns the output of c/golden.c.
func (t target) runMacros() []byte {
	cc, bin := t.Compiler, filepath.Join(out, t.Arch+"-"+t.Libc)
	if _, err := exec.LookPath(cc[0]); err != nil {
		must.Failf("%w: %w", machines.ErrMissing, err)
	}
	args := append(slices.Clone(cc[1:]), "-std=c99", "-O1", "-D_GNU_SOURCE", "-static", "-o", bin, "proof/golden/c/golden.c")
	if text, err := exec.Command(cc[0], args...).CombinedOutput(); err != nil {
		must.Failf("%s: %w\n%s", strings.Join(cc, " "), err, text)
	}
	cmd := t.command(bin)
	cmd.Stderr = os.Stderr
	return must.Get(cmd.Output())
}

// comparePure runs the golden tests of internal/pure on the target's architecture, and verifies that they
// compared the target's libc.
func (t target) comparePure() {
	bin := must.Get(filepath.Abs(filepath.Join(out, "pure-"+t.Arch+".test")))
	if text, err := machines.Go(t.Arch, "", "test", "-c", "-o", bin, "./internal/pure").CombinedOutput(); err != nil {
		must.Failf("%w\n%s", err, text)
	}
	cmd := t.command(bin, "-test.v", "-test.run=^TestGolden$")
	cmd.Dir = "internal/pure"
	text, err := cmd.CombinedOutput()
	if err == nil && !bytes.Contains(text, []byte("--- PASS: TestGolden/"+t.Libc)) {
		err = errors.New("nothing was compared")
	}
	if err != nil {
		must.Failf("%w\n%s", err, text)
	}
}

// same fails with the first line in which the output of C and the text in the file differ.
func same(c []byte, file string) {
	stored := must.Get(os.ReadFile(file))
	a, b := bytes.Split(c, []byte("\n")), bytes.Split(stored, []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			must.Failf("%s: line %d: in C %q, stored %q", file, i+1, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		must.Failf("%s: %d lines in C, %d stored", file, len(a), len(b))
	}
}

// count returns the number of control buffers and their total size, which c/golden.c prints last.
func count(text []byte) (buffers, size int) {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	must.Get(fmt.Sscanf(string(lines[len(lines)-1]), "%d control buffers, %d bytes", &buffers, &size))
	return buffers, size
}

// run compares the macros with the stored output and pure Go, and returns what the macros printed.
func (t target) run(write bool) []byte {
	must.Get(t.Emulator())
	text, file := t.runMacros(), t.golden()
	if write {
		must.OK(os.WriteFile(file, text, 0o666))
	}
	same(text, file)
	t.comparePure()
	return text
}

// A Row describes what was compared on a target, or why nothing was compared.
type Row struct {
	Arch, Libc, how string
	buffers, Bytes  int
	Err             error
}

// Compare runs the comparison on the targets of the given architectures, or on all targets if archs is
// empty. If write is true, it first stores the output of the macros.
func Compare(write bool, archs []string) (rows []Row) {
	must.OK(os.MkdirAll(out, 0o777))
	for _, machine := range machines.All() {
		t := target{machine}
		if len(archs) > 0 && !slices.Contains(archs, t.Arch) {
			continue
		}
		r := Row{Arch: t.Arch, Libc: t.Libc, how: "natively"}
		if emulator, _ := t.Emulator(); emulator != "" {
			r.how = filepath.Base(emulator)
		}
		r.Err = must.Try(func() { r.buffers, r.Bytes = count(t.run(write)) })
		rows = append(rows, r)
	}
	for _, arch := range archs {
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Arch == arch }) {
			must.Failf("%s is not the architecture of a target", arch)
		}
	}
	return rows
}

// Prove calls Compare, and prints a table.
func Prove(write bool, archs []string) {
	const line = "%-8s %-6s %-24s %8v %8v  %v\n"
	fmt.Printf(line, "arch", "libc", "run", "buffers", "bytes", "C, stored, pure Go")
	archsSeen, libcs := map[string]bool{}, map[string]bool{}
	var sum Row
	missing, failed := 0, 0
	for _, r := range Compare(write, archs) {
		switch {
		case r.Err == nil:
			fmt.Printf(line, r.Arch, r.Libc, r.how, r.buffers, r.Bytes, "same")
			archsSeen[r.Arch], libcs[r.Libc] = true, true
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
	fmt.Printf("golden: %d control buffers, %d bytes, on %d architectures, %d libcs: %d differ, %d not run\n",
		sum.buffers, sum.Bytes, len(archsSeen), len(libcs), failed, missing)
	if failed > 0 || sum.buffers == 0 || missing > 0 && os.Getenv("CI") == "true" {
		must.Failf("%d differ, %d not run", failed, missing)
	}
}
