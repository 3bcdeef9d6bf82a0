// Package golden asks the C of every architecture and libc that there is a compiler for what its
// CMSG macros make of 0 to 253 descriptors, compares it with internal/pure/testdata/golden, and
// runs the tests that hold pure Go against that on each architecture, under qemu-user where it
// must. There it also compares what the calls of csrc give the kernel with what the macros make.
//
// An architecture without its tools is named, and an error where
// CI=true.
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

	machines "github.com/scm-rights/scm/internal/target"
)

// target is a target of the table, in C.
type target struct{ machines.Target }

const (
	folder = "tools/prove/golden/c/"
	out    = "build/golden"
)

// golden is where the package's test looks.
func (t target) golden() string {
	return filepath.Join("internal/pure/testdata/golden", t.Arch+"-"+t.Libc+".txt")
}

// runner is what is put before a program to run it here: nothing, or an emulator.
func (t target) runner() ([]string, error) {
	emulator, err := t.Emulator()
	if emulator == "" {
		return nil, err
	}
	return []string{emulator}, err
}

// build compiles a program in C for the target.
func (t target) build(bin string, args ...string) error {
	cc := t.Compiler
	if _, err := exec.LookPath(cc[0]); err != nil {
		return err
	}
	args = slices.Concat(cc[1:], []string{"-std=c99", "-O1", "-D_GNU_SOURCE", "-static", "-o", bin}, args)
	if text, err := exec.Command(cc[0], args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cc, " "), err, text)
	}
	return nil
}

// askC returns what the macros of the target print.
func (t target) askC(runner []string) ([]byte, error) {
	bin := filepath.Join(out, t.Arch+"-"+t.Libc)
	if err := t.build(bin, folder+"golden.c", folder+"macros.c"); err != nil {
		return nil, err
	}
	args := append(slices.Clone(runner), bin)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	return cmd.Output()
}

var callsOfCsrc = regexp.MustCompile(`^csrc: (\d+) calls\n$`)

// askCsrc compares the calls of csrc with the macros, and returns how many there were. The folder of
// csrc is given, and where the program goes.
func (t target) askCsrc(runner []string, csrc, bin string) (int, error) {
	sources, err := filepath.Glob(filepath.Join(csrc, "*.c"))
	if err != nil {
		return 0, err
	}
	args := append([]string{"-I" + csrc, "-Dsyscall=kernel_call", "-Dclose=kernel_close", folder + "csrc.c", folder + "macros.c"}, sources...)
	if err := t.build(bin, args...); err != nil {
		return 0, err
	}
	args = append(slices.Clone(runner), bin)
	text, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	match := callsOfCsrc.FindSubmatch(text)
	if err != nil || match == nil {
		return 0, fmt.Errorf("%s (%w)", strings.TrimSpace(string(text)), cmp.Or(err, errors.New("no calls")))
	}
	return strconv.Atoi(string(match[1]))
}

// askGo runs the golden tests of internal/pure on the target's architecture; it has to have
// compared the target's libc.
func (t target) askGo(runner []string) error {
	bin, err := filepath.Abs(filepath.Join(out, "pure-"+t.Arch+".test"))
	if err != nil {
		return err
	}
	build := exec.Command("go", "test", "-c", "-o", bin, "./internal/pure")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+t.Arch, "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	args := append(slices.Clone(runner), bin, "-test.v", "-test.run=^TestGolden(Room)?$")
	cmd := exec.Command(args[0], args[1:]...)
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

// difference is the first line in which two texts differ, or "".
func difference(c, stored []byte) string {
	a, b := bytes.Split(c, []byte("\n")), bytes.Split(stored, []byte("\n"))
	for i := range max(len(a), len(b)) {
		var x, y []byte
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if !bytes.Equal(x, y) {
			return fmt.Sprintf("line %d: C says %q, stored is %q", i+1, x, y)
		}
	}
	return ""
}

// count is how many buffers a text has, and how many bytes are in them.
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

// errMissing is of a target that this machine has no tool for.
var errMissing = errors.New("not run")

// run compares C, what is stored, pure Go and csrc. It returns C's text, how many calls of csrc were
// compared, and how it was run.
func (t target) run(write bool) (text []byte, calls int, how string, err error) {
	runner, err := t.runner()
	if err != nil {
		return nil, 0, "", fmt.Errorf("%w: %w", errMissing, err)
	}
	how = "natively"
	if runner != nil {
		how = filepath.Base(runner[0])
	}
	text, err = t.askC(runner)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", errMissing, err)
	}
	if err != nil {
		return nil, 0, how, err
	}
	if write {
		if err := os.WriteFile(t.golden(), text, 0o666); err != nil {
			return nil, 0, how, err
		}
	}
	stored, err := os.ReadFile(t.golden())
	if err != nil {
		return nil, 0, how, err
	}
	if d := difference(text, stored); d != "" {
		return nil, 0, how, fmt.Errorf("%s: %s", t.golden(), d)
	}
	if err := t.askGo(runner); err != nil {
		return nil, 0, how, err
	}
	calls, err = t.askCsrc(runner, "csrc", filepath.Join(out, "csrc-"+t.Arch+"-"+t.Libc))
	return text, calls, how, err
}

// Prove looks at the targets of the architectures, or at all. If write is true what C says is
// stored.
func Prove(write bool, archs []string) error {
	for _, arch := range archs {
		if !slices.ContainsFunc(machines.All(), func(t machines.Target) bool { return t.Arch == arch }) {
			return fmt.Errorf("%s is the architecture of no target", arch)
		}
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	const row = "%-8s %-6s %-24s %8v %8v %8v  %s\n"
	fmt.Printf(row, "arch", "libc", "run", "buffers", "bytes", "csrc", "C, stored, pure Go, csrc")
	seen, libcs := map[string]bool{}, map[string]bool{}
	buffers, size, made, missing, failed := 0, 0, 0, 0, 0
	for _, machine := range machines.All() {
		t := target{machine}
		if len(archs) > 0 && !slices.Contains(archs, t.Arch) {
			continue
		}
		text, calls, how, err := t.run(write)
		switch {
		case errors.Is(err, errMissing):
			missing++
			fmt.Printf(row, t.Arch, t.Libc, "", "", "", "", err)
		case err != nil:
			failed++
			fmt.Printf(row, t.Arch, t.Libc, how, "", "", "", err)
		default:
			n, bytes := count(text)
			fmt.Printf(row, t.Arch, t.Libc, how, n, bytes, calls, "same")
			seen[t.Arch], libcs[t.Libc] = true, true
			buffers += n
			size += bytes
			made += calls
		}
	}
	fmt.Printf("golden: %d control buffers, %d bytes, %d calls of csrc, on %d architectures, %d libcs: %d differ",
		buffers, size, made, len(seen), len(libcs), failed)
	if missing > 0 {
		fmt.Printf(", %d not run", missing)
	}
	fmt.Println()
	if failed > 0 || buffers == 0 || missing > 0 && os.Getenv("CI") == "true" {
		return fmt.Errorf("%d differ, %d not run", failed, missing)
	}
	return nil
}
