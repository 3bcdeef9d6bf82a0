// Package golden compares the control buffers of both backends with the control buffers that the CMSG
// macros of C produce, for 0 to 253 descriptors. It does so for every architecture and libc for which it
// finds a compiler, under qemu-user if necessary.
//
//   - c/golden.c prints the control buffers that the macros produce. The output must be equal to the
//     stored output in internal/pure/testdata/golden.
//   - The tests of internal/pure compare pure Go with the stored output.
//   - c/csrc.c compares each byte that csrc passes to the kernel with the control buffers that the
//     macros produce.
//
// If a tool for an architecture is missing, the architecture is listed as not run. With CI=true
// that is an error.
package golden

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	machines "github.com/scm-rights/scm/proof/target"
)

// A target is an architecture and a libc for which C programs are built.
type target struct{ machines.Target }

const (
	folder = "proof/golden/c/"
	out    = "build/golden"
)

// golden returns the file with the stored output.
func (t target) golden() string {
	return filepath.Join("internal/pure/testdata/golden", t.Arch+"-"+t.Libc+".txt")
}

// command returns a command that runs a program of the target, under an emulator if necessary.
func (t target) command(bin string, args ...string) *exec.Cmd {
	if emulator, _ := t.Emulator(); emulator != "" {
		return exec.Command(emulator, append([]string{bin}, args...)...)
	}
	return exec.Command(bin, args...)
}

// build compiles a program in C for the target.
func (t target) build(bin string, args ...string) error {
	cc := t.Compiler
	if _, err := exec.LookPath(cc[0]); err != nil {
		return fmt.Errorf("%w: %w", machines.ErrMissing, err)
	}
	args = slices.Concat(cc[1:], []string{"-std=c99", "-O1", "-D_GNU_SOURCE", "-static", "-o", bin}, args)
	if text, err := exec.Command(cc[0], args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cc, " "), err, text)
	}
	return nil
}

// runMacros returns the output of c/golden.c.
func (t target) runMacros() ([]byte, error) {
	bin := filepath.Join(out, t.Arch+"-"+t.Libc)
	if err := t.build(bin, folder+"golden.c", folder+"macros.c"); err != nil {
		return nil, err
	}
	cmd := t.command(bin)
	cmd.Stderr = os.Stderr
	return cmd.Output()
}

var csrcOutput = regexp.MustCompile(`^csrc: (\d+) calls\n$`)

// compareCsrc compares the calls of csrc with the macros, and returns the number of calls. csrc is the folder
// with its sources, and bin the path for the program.
func (t target) compareCsrc(csrc, bin string) (int, error) {
	sources, err := filepath.Glob(filepath.Join(csrc, "*.c"))
	if err != nil {
		return 0, err
	}
	args := append([]string{"-I" + csrc, "-Dsyscall=kernel_call", "-Dclose=kernel_close", folder + "csrc.c", folder + "macros.c"}, sources...)
	if err := t.build(bin, args...); err != nil {
		return 0, err
	}
	text, err := t.command(bin).CombinedOutput()
	match := csrcOutput.FindSubmatch(text)
	if err != nil || match == nil {
		return 0, fmt.Errorf("%s (%w)", strings.TrimSpace(string(text)), cmp.Or(err, errors.New("no calls")))
	}
	return strconv.Atoi(string(match[1]))
}

// comparePure runs the golden tests of internal/pure on the target's architecture, and verifies that they
// compared the target's libc.
func (t target) comparePure() error {
	bin, err := filepath.Abs(filepath.Join(out, "pure-"+t.Arch+".test"))
	if err != nil {
		return err
	}
	if text, err := machines.Go(t.Arch, "", "test", "-c", "-o", bin, "./internal/pure").CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	cmd := t.command(bin, "-test.v", "-test.run=^TestGolden(Room)?$")
	cmd.Dir = "internal/pure"
	text, err := cmd.CombinedOutput()
	if err == nil && (!bytes.Contains(text, []byte("--- PASS: TestGolden/"+t.Libc)) ||
		!bytes.Contains(text, []byte("--- PASS: TestGoldenRoom/"+t.Libc))) {
		err = errors.New("nothing was compared")
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// difference returns an error about the first line in which two texts differ.
func difference(c, stored []byte) error {
	a, b := bytes.Split(c, []byte("\n")), bytes.Split(stored, []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			return fmt.Errorf("line %d: in C %q, stored %q", i+1, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		return fmt.Errorf("%d lines in C, %d stored", len(a), len(b))
	}
	return nil
}

// count returns the number of control buffers in the output of c/golden.c, and their total size.
func count(text []byte) (buffers, size int) {
	for line := range bytes.Lines(text) {
		n, rest, _ := bytes.Cut(line, []byte(": "))
		if _, err := strconv.Atoi(string(n)); err != nil {
			continue
		}
		for _, word := range bytes.Fields(rest)[:4] {
			word, _, _ = bytes.Cut(word, []byte("="))
			if length, _ := strconv.Atoi(string(word)); length > 0 {
				buffers++
				size += length
			}
		}
	}
	return buffers, size
}

// run compares the macros with the stored output, pure Go and csrc. It returns the output of the macros,
// and the number of csrc calls that it compared.
func (t target) run(write bool) (text []byte, calls int, err error) {
	if _, err := t.Emulator(); err != nil {
		return nil, 0, err
	}
	if text, err = t.runMacros(); err != nil {
		return nil, 0, err
	}
	if write {
		if err := os.WriteFile(t.golden(), text, 0o666); err != nil {
			return nil, 0, err
		}
	}
	stored, err := os.ReadFile(t.golden())
	if err != nil {
		return nil, 0, err
	}
	if err := difference(text, stored); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", t.golden(), err)
	}
	if err := t.comparePure(); err != nil {
		return nil, 0, err
	}
	calls, err = t.compareCsrc("csrc", filepath.Join(out, "csrc-"+t.Arch+"-"+t.Libc))
	return text, calls, err
}

// A Row describes what was compared on a target, or why nothing was compared.
type Row struct {
	Arch, Libc, how       string
	buffers, Bytes, Calls int
	Err                   error
}

// Compare runs the comparison on the targets of the given architectures, or on all targets if archs is
// empty. If write is true, it first stores the output of the macros.
func Compare(write bool, archs []string) (rows []Row, err error) {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, err
	}
	for _, machine := range machines.All() {
		t := target{machine}
		if len(archs) > 0 && !slices.Contains(archs, t.Arch) {
			continue
		}
		r := Row{Arch: t.Arch, Libc: t.Libc, how: "natively"}
		if emulator, _ := t.Emulator(); emulator != "" {
			r.how = filepath.Base(emulator)
		}
		var text []byte
		if text, r.Calls, r.Err = t.run(write); r.Err == nil {
			r.buffers, r.Bytes = count(text)
		}
		rows = append(rows, r)
	}
	for _, arch := range archs {
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Arch == arch }) {
			return nil, fmt.Errorf("%s is not the architecture of a target", arch)
		}
	}
	return rows, nil
}

// Prove calls Compare, and prints a table.
func Prove(write bool, archs []string) error {
	rows, err := Compare(write, archs)
	if err != nil {
		return err
	}
	const line = "%-8s %-6s %-24s %8v %8v %8v  %v\n"
	fmt.Printf(line, "arch", "libc", "run", "buffers", "bytes", "csrc", "C, stored, pure Go, csrc")
	archsSeen, libcs := map[string]bool{}, map[string]bool{}
	var sum Row
	missing, failed := 0, 0
	for _, r := range rows {
		switch {
		case r.Err == nil:
			fmt.Printf(line, r.Arch, r.Libc, r.how, r.buffers, r.Bytes, r.Calls, "same")
			archsSeen[r.Arch], libcs[r.Libc] = true, true
			sum.buffers += r.buffers
			sum.Bytes += r.Bytes
			sum.Calls += r.Calls
			continue
		case errors.Is(r.Err, machines.ErrMissing):
			missing++
		default:
			failed++
		}
		fmt.Printf(line, r.Arch, r.Libc, r.how, "", "", "", r.Err)
	}
	fmt.Printf("golden: %d control buffers, %d bytes, %d calls of csrc, on %d architectures, %d libcs: %d differ, %d not run\n",
		sum.buffers, sum.Bytes, sum.Calls, len(archsSeen), len(libcs), failed, missing)
	if failed > 0 || sum.buffers == 0 || missing > 0 && os.Getenv("CI") == "true" {
		return fmt.Errorf("%d differ, %d not run", failed, missing)
	}
	return nil
}
