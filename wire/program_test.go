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

// The programs at the other end. Each is run by the spec, and ends with it.

// buildTime ends a build that hangs; the first one fetches what it needs, and may wait
// for another suite's.
const buildTime = 8 * time.Minute

// program returns the path of a program, and which of Debian's packages has it.
// Where it is missing the spec fails if CI is true, and is skipped otherwise.
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

// script is a Python script of testdata, which has to load that library.
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

// interpreter is python3 itself, where the one in PATH is a script that looks for it.
var interpreter = sync.OnceValues(func() (path, why string) {
	return output("python3", "-c", "import sys; print(sys.executable)")
})

// loads has, for each library, a function that says why Python cannot load it.
var loads sync.Map

// output is what a command writes, and why it failed.
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

// process is a program that was started, and that is ended with the spec.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	waited         bool
}

// begin starts the program, which has duplicates of these numbers as 3, 4, 5 …
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

// ends waits for the end of the program, whatever its status.
func (p *process) ends() {
	p.waited = true
	_ = p.Wait()
}

// succeeds waits for the end of the program, and returns what it wrote to standard
// output.
func (p *process) succeeds() string {
	GinkgoHelper()
	p.waited = true
	Expect(p.Wait()).To(Succeed(), "%s\nstandard output: %sstandard error: %s", p.Cmd, &p.stdout, &p.stderr)
	return p.stdout.String()
}

// fails waits for the end of the program, and returns its status.
func (p *process) fails() int {
	GinkgoHelper()
	p.waited = true
	var status *exec.ExitError
	err := p.Wait()
	Expect(errors.As(err, &status)).To(BeTrue(), "%s: %v", p.Cmd, err)
	return status.ExitCode()
}

// hands runs the program, which has duplicates of these numbers as 3, 4, 5 …, and
// returns what it wrote to standard output.
func hands(cmd *exec.Cmd, fds ...int) string {
	GinkgoHelper()
	return begin(cmd, fds...).succeeds()
}

func duplicate(fd int) *os.File {
	GinkgoHelper()
	d := ok(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0))
	return os.NewFile(uintptr(d), "")
}
