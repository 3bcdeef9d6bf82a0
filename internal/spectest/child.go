//go:build unix && !aix

package spectest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
)

// EventuallyVariable is the environment variable with which Gomega is given another timeout for
// Eventually, such as 5s.
const EventuallyVariable = "GOMEGA_DEFAULT_EVENTUALLY_TIMEOUT"

// Main is the body of a suite's TestMain. It runs the child that this process is, or the tests and then the functions,
// whose output follows that of package testing.
func Main(m *testing.M, after ...func()) {
	reexec.Main()
	fdtest.UseShortTemp()
	if os.Getenv(EventuallyVariable) == "" {
		gomega.SetDefaultEventuallyTimeout(Hang) // Gomega's default of one second is too short on a busy machine
	}
	status := m.Run()
	for _, f := range after {
		f()
	}
	os.Exit(status)
}

// Child registers a child with package reexec. An expectation that fails in it ends its process with
// status 1.
func Child(name string, run func(args []string)) bool {
	reexec.Register(name, func(args []string) {
		gomega.RegisterFailHandler(func(message string, _ ...int) {
			fmt.Fprintln(os.Stderr, message)
			for line := range strings.Lines(string(debug.Stack())) {
				if strings.Contains(line, "_test.go:") { // other frames are of Gomega or of the runtime
					fmt.Fprint(os.Stderr, line)
				}
			}
			os.Exit(1)
		})
		run(args)
	})
	return true
}

// ChildCommand returns the command of a child.
func ChildCommand(name string, args ...string) *exec.Cmd { return reexec.Command(name, args...) }

// ChildUnder changes the command of a child so that another program, such as strace, starts it, and returns
// the command.
func ChildUnder(cmd *exec.Cmd, program string, args ...string) *exec.Cmd {
	ginkgo.GinkgoHelper()
	gomega.Expect(reexec.Under(cmd, program, args...)).To(gomega.Succeed())
	return cmd
}

// RunChild runs the command, and returns what it wrote to standard output.
func RunChild(cmd *exec.Cmd) string {
	ginkgo.GinkgoHelper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil { // Gomega would print every field of the error
		ginkgo.Fail(fmt.Sprintf("%v, standard error: %s", err, &stderr))
	}
	return stdout.String()
}

// ReadableByOthers returns an error if another user may not run the test binary.
func ReadableByOthers() error {
	if fdtest.Emulator() != "" {
		return errors.New("the emulator opens it by its path, in a directory that only this user may search")
	}
	info, err := os.Stat("/proc/self/exe")
	if err == nil && info.Mode()&0o001 == 0 {
		err = fs.ErrPermission
	}
	return err
}
