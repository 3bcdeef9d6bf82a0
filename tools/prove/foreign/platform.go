//go:build linux

package foreign

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
	"github.com/scm-rights/scm/internal/target"
)

// platform is a target and a backend to stand on. The backend in pure Go has no libc and no
// compiler.
type platform struct{ target.Target }

// platforms are the targets, each architecture once more in pure Go.
func platforms() (list []platform) {
	for _, t := range target.All() {
		if !t.Foreign {
			continue
		}
		list = append(list, platform{t})
		if t.Arch != runtime.GOARCH {
			t.Libc, t.Compiler = "", nil
			list = append(list, platform{t})
		}
	}
	return list
}

// errMissing is of a platform that this machine has no tool for.
var errMissing = errors.New("not run")

// cc is the platform's compiler, as make and the go command take it, or "".
func (p platform) cc() string { return strings.Join(p.Compiler, " ") }

func (p platform) backend() string {
	if p.Libc == "" {
		return "purego"
	}
	return "cgo"
}

// name is what files and peers of the platform are called by.
func (p platform) name() string {
	if p.Libc == "" {
		return p.Arch + "-purego"
	}
	return p.Arch + "-" + p.Libc
}

// out is the folder for what is built for the platform.
func (p platform) out(name string) string { return filepath.Join("build/foreign", p.name(), name) }

// ownRunner reports whether the platform's runner is run: once an architecture, since its calls are Go's own
// on either backend, and not under an emulator, which would be asked in the kernel's place.
func (p platform) ownRunner() bool {
	return p.cc() == "" && p.Native() && p.Arch != runtime.GOARCH
}

// narrow reports whether pointers have 32 bits. The pair's room then admits one descriptor, where it
// otherwise admits two.
func (p platform) narrow() bool {
	return slices.Contains([]string{"386", "arm", "mips"}, p.Arch)
}

// emulator is the path of the platform's emulator, or "".
func (p platform) emulator() (string, error) {
	path, err := p.Emulator()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errMissing, err)
	}
	return path, nil
}

// tools looks whether all that the platform needs is there.
func (p platform) tools() error {
	if _, err := p.emulator(); err != nil {
		return err
	}
	// The specs of what is said to the kernel need it where they need no emulator.
	if _, err := exec.LookPath("strace"); err != nil && p.Native() {
		return fmt.Errorf("%w: %w", errMissing, err)
	}
	if p.cc() == "" {
		return nil
	}
	// Some compilers remove their output first, and would replace os.DevNull by a file.
	dir, err := os.MkdirTemp("", "foreign")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cc := append(slices.Clone(p.Compiler), "-static", "-x", "c", "-", "-o", filepath.Join(dir, "program"))
	compile := exec.Command(cc[0], cc[1:]...)
	compile.Stdin = strings.NewReader("#include <sys/socket.h>\nint main(void) { return 0; }\n")
	if text, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s: %w %s", errMissing, p.cc(), err, firstLine(text))
	}
	return nil
}

// command is how a program of the platform is run here.
func (p platform) command(program string, args ...string) ([]string, error) {
	emulator, err := p.emulator()
	if err != nil || emulator == "" {
		return append([]string{program}, args...), err
	}
	return append([]string{emulator, program}, args...), nil
}

// environ is the environment in which a platform's tests run. A spec that lacks something skips: what
// the platforms need was looked for before.
func (p platform) environ() ([]string, error) {
	emulator, err := p.emulator()
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
