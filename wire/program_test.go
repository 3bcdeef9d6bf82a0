//go:build linux

package wire_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// These are the helpers for specs whose partner is a real program.

// buildTime is the time limit of a build. The first build downloads its dependencies, and may wait for the
// build of another suite.
const buildTime = 8 * time.Minute

// program returns the path of a program. debian is the Debian package that has it. If the program is missing,
// the spec fails with CI=true and is skipped otherwise.
func program(name, debian string) string {
	GinkgoHelper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		fdtest.Missing(GinkgoTB(), "no "+name+" in PATH (Debian: "+debian+")")
	}
	return path
}

// script returns the command of a Python script in testdata, which needs the library.
func script(name, library, debian string) []string {
	GinkgoHelper()
	program("python3", "python3")
	python, why := interpreter()
	if why != "" {
		fdtest.Missing(GinkgoTB(), "python3 does not run: "+why)
	}
	if library != "" {
		load, _ := loads.LoadOrStore(library, sync.OnceValue(func() string {
			_, why := output(python, "-c", "import ctypes, ctypes.util, sys; ctypes.CDLL(ctypes.util.find_library(sys.argv[1]) or sys.argv[1])", library)
			return why
		}))
		if why := load.(func() string)(); why != "" {
			fdtest.Missing(GinkgoTB(), "python3 cannot load "+library+" (Debian: "+debian+"): "+why)
		}
	}
	return []string{python, filepath.Join("testdata", name)}
}

// interpreter returns the path of python3 itself, because the python3 in PATH may be a script that looks for
// it.
var interpreter = sync.OnceValues(func() (path, why string) {
	return output("python3", "-c", "import sys; print(sys.executable)")
})

// loads maps each library to a function that returns why Python cannot load it.
var loads sync.Map

// output returns the output of a command, and why it failed.
func output(name string, args ...string) (text, why string) {
	out, err := exec.Command(name, args...).CombinedOutput()
	text = strings.TrimSpace(string(out))
	if err != nil {
		return "", err.Error() + ": " + text[strings.LastIndex(text, "\n")+1:]
	}
	return text, ""
}

func commandOf(ctx SpecContext, words []string, more ...string) *exec.Cmd {
	words = append(words, more...)
	return exec.CommandContext(ctx, words[0], words[1:]...)
}

// process is a running program, which is killed at the end of the spec.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	waited         bool
}

// begin starts the program, which gets duplicates of the descriptors as 3, 4, 5 …
func begin(cmd *exec.Cmd, fds ...int) *process {
	GinkgoHelper()
	for _, fd := range fds {
		file := duplicate(fd)
		defer func() { _ = file.Close() }()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	p := &process{Cmd: cmd}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = io.MultiWriter(&p.stderr, GinkgoWriter)
	}
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		if !p.waited {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return p
}

// waitExit waits until the program has exited, with any status.
func (p *process) waitExit() {
	p.waited = true
	_ = p.Wait()
}

// waitSuccess waits until the program has exited with status 0, and returns its standard output.
func (p *process) waitSuccess() string {
	GinkgoHelper()
	p.waited = true
	Expect(p.Wait()).To(Succeed(), "%s\nstandard output: %sstandard error: %s", p.Cmd, &p.stdout, &p.stderr)
	return p.stdout.String()
}

// waitFailure waits until the program has exited with a status other than 0, and returns the status.
func (p *process) waitFailure() int {
	GinkgoHelper()
	p.waited = true
	var status *exec.ExitError
	err := p.Wait()
	Expect(errors.As(err, &status)).To(BeTrue(), "%s: %v", p.Cmd, err)
	return status.ExitCode()
}

// runWithFDs runs the program, which gets duplicates of the descriptors as 3, 4, 5 …, and returns its standard
// output.
func runWithFDs(cmd *exec.Cmd, fds ...int) string {
	GinkgoHelper()
	return begin(cmd, fds...).waitSuccess()
}

func duplicate(fd int) *os.File {
	GinkgoHelper()
	d := ok(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0))
	return os.NewFile(uintptr(d), "")
}
